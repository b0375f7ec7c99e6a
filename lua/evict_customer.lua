--[[
Take a customer out of Redis that SQL has whole; it comes back from there when it is touched. Nothing changes by it, so
the outbox hears nothing. Locks stay in force: only receipts that are named go with it.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream
KEYS[6] locks     hash
KEYS[7] holds     sorted set

ARGV[1] head         env, tab, customer id
ARGV[2] cursor       last stream id SQL had applied when it was read; only looked at without a seq
ARGV[3] internal_id  of the customer SQL knows
ARGV[4] seq          how many of its changes SQL has: here there must be as many; empty when the numbers here are wrong,
                     and the outbox has to tell
ARGV[5...] lock ids of receipts that go too

Returns {status}: 1 done, 2 customer missing, 7 it is another customer or has changed, 8 wait for the writer
]]
--@include newer_entry

local known = redis.call('HMGET', KEYS[1], 'id', 'seq')
if redis.call('EXISTS', KEYS[1]) == 0 then return { 2 } end
if ARGV[4] ~= '' then
  if known[1] ~= ARGV[3] or known[2] ~= ARGV[4] then return { 7 } end
elseif newer_entry(KEYS[5], ARGV[2], ARGV[1], 1000) then
  return { 8 }
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
local env = string.match(ARGV[1], '^[^\t]*')
for at = 5, #ARGV do
  redis.call('HDEL', KEYS[6], env .. '\t' .. ARGV[at])
  redis.call('ZREM', KEYS[7], ARGV[1] .. '\t' .. ARGV[at])
end
return { 1 }
