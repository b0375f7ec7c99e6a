--[[
Create an entity: it takes its place in creation order and counts one unit of its feature; per-entity rows give it a
full slot by that alone. Never refused for lack of balance (hot-path section 4.1), only at a pay-per-use row's cap.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] entity      entity id
ARGV[5] feature     feature of the entity
ARGV[6] document    JSON
ARGV[7] unit        units one entity counts for
ARGV[8] entities_max  live entities of one feature
ARGV[9] rules       records of store_rules, may be empty

Returns {status}: 1 done, 2 customer missing, 5 entity-held rows are due (settle first), 6 exists already,
9 a balance would leave the exact range, or what all entities are given together, 10 a cap is reached (nothing written)
]]
--@include read_feature
--@include make_plan
--@include decide
--@include commit_plan
--@include append_entry
--@include mark
--@include name_number
--@include store_rules
--@include fits_slots

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
}
local now, entity, feature, unit = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local state = read_feature(keys, feature, '', tonumber(now))
if not state then return { 2 } end
if redis.call('HEXISTS', keys.entities, 'e:' .. entity) == 1 then return { 6 } end
if state.due then return { 5 } end
local numbers = redis.call('HMGET', keys.customer, 'entities', 'n:' .. feature)
local number = tonumber(numbers[1]) + 1
local band, count = string.match(numbers[2] or '0 0', '^(%d+) (%d+)$')
if tonumber(count) >= tonumber(ARGV[8]) or number > 16777215 then return { 10 } end
local stored = redis.call('HGETALL', keys.customer)
for at = 1, #stored, 2 do
  if string.sub(stored[at], 1, 2) == 'r:' and not fits_slots(keys, stored[at + 1], 1, feature) then return { 9 } end
end

local plan = make_plan({ state }, { { 1, 1 } }, tonumber(now), '{}')
local left = decide(plan, unit, 'cap')
if left and left > 0 then
  for _, source in ipairs(plan.sources) do
    if source.row.floor then return { 10 } end
  end
  state.rules = nil -- no cap forbids it, so it counts in full, whatever spend limits say
  plan = make_plan({ state }, { { 1, 1 } }, tonumber(now), '{}')
  left = decide(plan, unit, 'overflow')
end
if not left then return { 9 } end
local lines = { string.format('N\t%s\t%d\t%s\t%s', entity, number, feature, ARGV[6]) }
lines[2] = string.format('E\t%s\t\t%s\t%d\t%d\t%s\t{}', feature, entity, unit, #plan.sources > 0 and unit or 0, now)
local fields = {}
state.counter = commit_plan(keys, plan, state.counter, lines, fields)
if band == '0' then
  state.counter = state.counter + 1
  band = state.counter
end
redis.call('HSET', keys.entities, 'e:' .. entity, string.format('%d\t%d\t%s\t%s', band, number, feature, ARGV[6]))
mark(keys.index, band, 0, number, false, true)
name_number(keys.index, number, entity)
redis.call('HSET', keys.customer, 'entities', string.format('%d', number),
  'n:' .. feature, string.format('%d %d', band, count + 1))
redis.call('HINCRBY', keys.customer, 'rev', 1)
store_rules(keys, entity, ARGV[9])
append_entry(keys, 'entity', ARGV[1], state.id, state.seq + 1, state.counter, now, ARGV[2], lines, fields)
return { 1 }
