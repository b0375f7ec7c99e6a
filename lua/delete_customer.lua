--[[
Delete a customer with everything it holds.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock

Returns {status}: 1 done, 2 customer missing
]]
--@include append_entry

local keys = { customer = KEYS[1], outbox = KEYS[5] }
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter')
if not known[1] then return { 2 } end
append_entry(keys, 'customer_delete', ARGV[1], known[1], tonumber(known[2]) + 1, tonumber(known[3]), ARGV[3], ARGV[2],
  { 'X' }, {})
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return { 1 }
