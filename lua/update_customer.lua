--[[
Replace the customer document, if the customer has not changed since the caller read it.

KEYS[1] customer  hash
KEYS[2] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] revision    of the customer when the caller read it
ARGV[5] document    JSON
ARGV[6] rules       records of store_rules, may be empty

Returns {status}: 1 done, 2 customer missing, 7 the customer has changed: read again
]]
--@include append_entry
--@include store_rules

local keys = { customer = KEYS[1], outbox = KEYS[2] }
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter', 'rev')
if not known[1] then return { 2 } end
if known[4] ~= ARGV[4] then return { 7 } end
redis.call('HSET', keys.customer, 'doc', ARGV[5])
redis.call('HINCRBY', keys.customer, 'rev', 1)
store_rules(keys, '', ARGV[6])
append_entry(keys, 'customer', ARGV[1], known[1], tonumber(known[2]) + 1, tonumber(known[3]), ARGV[3], ARGV[2],
  { 'C\t' .. ARGV[5] }, {})
return { 1 }
