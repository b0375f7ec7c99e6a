--[[
Replace the document of an entity, if the customer has not changed since the caller read it.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] revision    of the customer when the caller read it
ARGV[5] entity      entity id
ARGV[6] document    JSON
ARGV[7] rules       records of store_rules, may be empty

Returns {status}: 1 done, 2 customer missing, 3 entity missing, 7 the customer has changed: read again
]]
--@include append_entry
--@include store_rules

local keys = { customer = KEYS[1], entities = KEYS[2], outbox = KEYS[3] }
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter', 'rev')
if not known[1] then return { 2 } end
if known[4] ~= ARGV[4] then return { 7 } end
local held = redis.call('HGET', keys.entities, 'e:' .. ARGV[5])
if not held then return { 3 } end
local band, number, feature = string.match(held, '^(%d+)\t(%d+)\t([^\t]*)\t')
redis.call('HSET', keys.entities, 'e:' .. ARGV[5], string.format('%s\t%s\t%s\t%s', band, number, feature, ARGV[6]))
redis.call('HINCRBY', keys.customer, 'rev', 1)
store_rules(keys, ARGV[5], ARGV[7])
append_entry(keys, 'entity', ARGV[1], known[1], tonumber(known[2]) + 1, tonumber(known[3]), ARGV[3], ARGV[2],
  { string.format('N\t%s\t%s\t%s\t%s', ARGV[5], number, feature, ARGV[6]) }, {})
return { 1 }
