--[[
Create a customer with the plans it starts with, unless it exists. Refused while the outbox holds an entry of this
customer that SQL does not know yet: the caller's reading of SQL would be older than that; and in a partition that has
lost its seal, which was emptied and is compared with SQL first.

KEYS[1] customer  hash
KEYS[2] index     hash
KEYS[3] outbox    stream
KEYS[4] seal      string

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] cursor      last stream id SQL had applied when it did not know the customer
ARGV[5] seal        what the seal has to be, empty when it is not looked at
ARGV[6] internal_id
ARGV[7] document    JSON
ARGV[8] subscriptions  JSON array
ARGV[9] lines       subscription lines of the outbox, may be empty
ARGV[10] rules      records of store_rules, may be empty
ARGV[11...] feature, rows, first resets, unit  groups of four

Returns {status}: 1 done, 6 exists already, 8 wait for the writer, 15 the seal is broken
]]
--@include newer_entry
--@include place_rows
--@include store_rules
--@include append_entry

local keys = { customer = KEYS[1], index = { key = KEYS[2] }, outbox = KEYS[3] }
local head, now = ARGV[1], ARGV[3]
if redis.call('EXISTS', keys.customer) == 1 then return { 6 } end
if ARGV[5] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[5] then return { 15 } end
if newer_entry(keys.outbox, ARGV[4], head, 1000) then return { 8 } end

local lines, counter = { 'C\t' .. ARGV[7] }, 0
if ARGV[9] ~= '' then lines[2] = ARGV[9] end
redis.call('HSET', keys.customer, 'id', ARGV[6], 'rev', now, 'entities', 0, 'doc', ARGV[7], 'subs', ARGV[8],
  'plain', '1')
for at = 11, #ARGV, 4 do
  local state = { feature = ARGV[at], rows = {}, counter = counter }
  place_rows(keys, state, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), lines, {})
  counter = state.counter
end
store_rules(keys, '', ARGV[10])
append_entry(keys, 'customer', head, ARGV[6], 1, counter, now, ARGV[2], lines, {})
return { 1 }
