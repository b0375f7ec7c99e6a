--[[
Put a customer back that SQL knows and Redis does not. Never over a live customer, never while the outbox holds an
entry of this customer that SQL had not applied when it was read. A lock that is still known here is left as it is. A
partition that has lost its seal was emptied: it is compared with SQL before anything comes back to it. What many
entities have may be staged under other names before, in parts: then it only gets the customer's names.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream
KEYS[6] locks     hash
KEYS[7] holds     sorted set
KEYS[8] seal      string
KEYS[9...11] staged  what KEYS[2] to KEYS[4] become, none where their values follow

ARGV[1] head        env, tab, customer id
ARGV[2] cursor      last stream id SQL had applied when the customer was read
ARGV[3] seal        what the seal has to be, empty when it is not looked at
ARGV[4...9] counts  values that follow for KEYS[1] to KEYS[4], KEYS[6] and KEYS[7], two for each field or member; of
                    KEYS[2] to KEYS[4] those that are staged, if KEYS[9] is given
ARGV[10...] values  field, value for hashes; score, member for sorted sets

Returns {status}: 1 done, 6 exists already, 8 wait for the writer, 15 the seal is broken, 17 stage everything first
]]
--@include newer_entry

local keys = { KEYS[1], KEYS[2], KEYS[3], KEYS[4] }
local staged = { false, KEYS[9], KEYS[10], KEYS[11] }
if redis.call('EXISTS', KEYS[1]) == 1 then return { 6 } end
if ARGV[3] ~= '' and redis.call('GET', KEYS[8]) ~= ARGV[3] then return { 15 } end
if newer_entry(KEYS[5], ARGV[2], ARGV[1], 1000) then return { 8 } end
local counts = { ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] }
for slot = 2, 4 do -- all of it, whatever became of the server meanwhile
  local staged_key = staged[slot]
  local size = staged_key and redis.call(slot == 4 and 'ZCARD' or 'HLEN', staged_key)
  if size and 2 * size ~= tonumber(counts[slot]) then return { 17 } end
end
local at, chunk = 10, 1000
for slot, key in ipairs(keys) do
  local staged_key = staged[slot]
  redis.call('UNLINK', key)
  if staged_key and counts[slot] ~= '0' then
    redis.call('PERSIST', staged_key)
    redis.call('RENAME', staged_key, key)
  end
  local last = at + (staged_key and 0 or tonumber(counts[slot])) - 1
  while at <= last do -- in chunks: a call takes no more arguments than the Lua stack holds
    local stop = math.min(last, at + chunk - 1)
    redis.call(slot <= 3 and 'HSET' or 'ZADD', key, unpack(ARGV, at, stop))
    at = stop + 1
  end
end
for _ = 1, tonumber(counts[5]), 2 do
  redis.call('HSETNX', KEYS[6], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, tonumber(counts[6]), 2 do
  redis.call('ZADD', KEYS[7], 'NX', ARGV[at], ARGV[at + 1])
  at = at + 2
end
return { 1 }
