--[[
Take a customer out of Redis that is older here than in SQL; it comes back from there when it is touched. Only while the
outbox ends below the cursor: once it has been raised, what is here may be newer than what the caller read. The receipts
of its locks go with it, for SQL knows which are open.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream
KEYS[6] locks     hash
KEYS[7] holds     sorted set

ARGV[1] head     env, tab, customer id
ARGV[2] cursor   last stream id SQL has applied
ARGV[3...] lock ids of its receipts, ended ones too

Returns {status, found}: 1 done, 7 the outbox has been raised; found is 1 if the customer was here, else 0
]]
--@include is_below

if redis.call('EXISTS', KEYS[5]) == 1 then
  local facts = redis.call('XINFO', 'STREAM', KEYS[5])
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' and not is_below(facts[at + 1], ARGV[2]) then return { 7, 0 } end
  end
end
local found = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
local env = string.match(ARGV[1], '^[^\t]*')
for at = 3, #ARGV do
  redis.call('HDEL', KEYS[6], env .. '\t' .. ARGV[at])
  redis.call('ZREM', KEYS[7], ARGV[1] .. '\t' .. ARGV[at])
end
return { 1, found }
