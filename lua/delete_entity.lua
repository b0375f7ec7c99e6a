--[[
Delete an entity: its slots and own rows leave the sums, its seat is given back, and the order forgets it. What its
plans gave to pooled rows of the customer leaves these, if nothing has changed since the caller decided.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] entity      entity id
ARGV[5] unit        units one entity counts for
ARGV[6] revision    of the customer when the caller decided; empty when the entity gave to no pooled row then
ARGV[7] rules       of the customer that change, records of store_rules, may be empty
ARGV[8...] feature, rows, first resets, unit  groups of four; rows is the whole new text of the customer

Returns {status}: 1 done, 2 customer missing, 3 entity missing, 5 entity-held rows are due (settle first), 7 the
customer, or what the entity gives, has changed: decide again
]]
--@include read_feature
--@include make_plan
--@include decide
--@include commit_plan
--@include append_entry
--@include list_features
--@include mark
--@include name_number
--@include own_totals
--@include place_rows
--@include store_rules
--@include store_own
--@include sum_fields

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
}
local now, entity, unit = ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('EXISTS', keys.customer) == 0 then return { 2 } end
local known = redis.call('HGET', keys.entities, 'e:' .. entity)
if not known then return { 3 } end
if ARGV[6] ~= '' then
  if redis.call('HGET', keys.customer, 'rev') ~= ARGV[6] then return { 7 } end
elseif string.find(known, '"pooled":[', 1, true) then
  return { 7 }
end
local band, number, feature = string.match(known, '^(%d+)\t(%d+)\t([^\t]*)\t')
local seats = read_feature(keys, feature, '', tonumber(now))
if seats.due then return { 5 } end

local lines, fields, counter = {}, {}, seats.counter
for _, name in ipairs(list_features(keys.customer, redis.call('HGET', keys.entities, 'l:\t' .. entity))) do
  local state = read_feature(keys, name, entity, 0) -- as things are: what is due or expired leaves the sums too
  local plan = make_plan({ state }, { { 1, 1 } }, 0, '{}')
  for _, source in ipairs(plan.sources) do -- whatever the entity used or owed leaves the sums with it
    source.take = (source.kind == 's' or source.kind == 'e') and -source.used or 0
    source.extra, source.credit, source.moved = 0, 0, source.take
  end
  state.counter = commit_plan(keys, plan, counter, lines, fields)
  if #state.own > 0 then
    for _, row in ipairs(state.own) do redis.call('HDEL', keys.customer, 'i:' .. row.id) end
    local held, rolled = own_totals(state.own)
    store_own(keys, state, entity, state.entity.number, held, rolled, {})
    sum_fields(state, fields)
  end
  if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  fields = {}
  local field = name .. '\t' .. entity
  redis.call('HDEL', keys.entities, 'p:' .. field, 'l:' .. field, 'x:' .. field)
  counter = state.counter
end
redis.call('HDEL', keys.entities, 'e:' .. entity, 'l:\t' .. entity)
mark(keys.index, band, 0, number, true, false)
name_number(keys.index, number, nil)
local count = string.match(redis.call('HGET', keys.customer, 'n:' .. feature), ' (%d+)$')
redis.call('HSET', keys.customer, 'n:' .. feature, string.format('%d %d', band, count - 1))

local state = read_feature(keys, feature, '', tonumber(now))
local plan = make_plan({ state }, { { 1, 1 } }, tonumber(now), '{}')
local left = decide(plan, -unit, 'cap')
local given = #plan.sources > 0 and left and unit - left or 0
if not left then plan.sources = {} end -- at the edge of the exact range the seat stays counted
lines[#lines + 1] = string.format('E\t%s\t\t%s\t%d\t%d\t%s\t{}', feature, entity, -unit, -given, now)
state.counter = commit_plan(keys, plan, counter, lines, fields)
if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
for at = 8, #ARGV, 4 do
  local pool = read_feature(keys, ARGV[at], '', 0)
  pool.counter = state.counter
  place_rows(keys, pool, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), lines, {})
  state.counter = pool.counter
end
store_rules(keys, '', ARGV[7])
lines[#lines + 1] = 'Z\t' .. entity
redis.call('HINCRBY', keys.customer, 'rev', 1)
append_entry(keys, 'entity_delete', ARGV[1], state.id, seats.seq + 1, state.counter, now, ARGV[2], lines, {})
return { 1 }
