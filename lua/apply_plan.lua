--[[
Replace the rows and subscriptions of one scope, the customer's own or one entity's, if nothing in its lifecycle has
changed since the caller decided; with those of an entity, rows of its customer too, which hold what its plans pool.
Live numbers of rows that stay are untouched, so uses in flight are not lost.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] revision    of the customer when the caller decided
ARGV[5] entity      entity id, empty for the customer level
ARGV[6] document    JSON: subscriptions array of the customer, or the whole document of the entity; of rows that end
                    and rest in it the numbers are written there, and in the lines (rest_row)
ARGV[7] lines       subscription and entity lines of the outbox, may be empty
ARGV[8] rules       records of store_rules, may be empty
ARGV[9] carries     lines of feature, row that ends, heir, rest: what of it moves on (leave_rest), may be empty
ARGV[10] rules of the customer that change beside those of its entity, may be empty
ARGV[11] own        how many of the groups are of the scope; the others, after these, are of the entity's customer
ARGV[12...] feature, rows, resets, unit  groups of four; rows is the whole new text of the scope or customer, resets as
                    place_rows has them

Returns {status}: 1 done, 2 customer missing, 3 entity missing, 5 rows whose numbers move on are due (settle first),
7 the customer has changed: decide again, 9 the grants of all entities together would leave the exact range (nothing
written for any of these)
]]
--@include read_feature
--@include own_totals
--@include commit_plan
--@include aim_plan
--@include place_rows
--@include place_own
--@include store_rules
--@include append_entry
--@include fits_slots

local keys = { customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5] }
local entity, own_end = ARGV[5], 12 + 4 * tonumber(ARGV[11])
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter', 'rev')
if not known[1] then return { 2 } end
if known[4] ~= ARGV[4] then return { 7 } end
local held = entity ~= '' and redis.call('HGET', keys.entities, 'e:' .. entity)
if entity ~= '' and not held then return { 3 } end

local now, carries, counted, resting = tonumber(ARGV[3]), {}, {}, {}
local unset = '"due_ms":0,"period":0,"used":{},"rolled":%[%],"id":"([%w_~]+)"}'
for id in string.gmatch(ARGV[6], unset) do resting[id] = false end
for feature, row, heir, rest in string.gmatch(ARGV[9], '([^\t\n]+)\t([^\t\n]+)\t([^\t\n]*)\t([^\t\n]*)') do
  local carry = carries[row] or { heir = heir, rest = rest }
  carry.whole = rest == ''
  carries[row], counted[feature] = carry, true
end
for at = 12, #ARGV, 4 do -- numbers that move on are those of now, with the resets that are due by then
  if string.find(' ' .. ARGV[at + 2], ' =', 1, true) then counted[ARGV[at]] = true end -- so are those whose reset moves
  local owner = at < own_end and entity or ''
  local state = counted[ARGV[at]] and read_feature(keys, ARGV[at], owner, now)
  if state and (state.due or state.rolls) then return { 5 } end
  for _, row in ipairs(state and (owner == '' and state.rows or state.own) or {}) do
    if row.gone and string.find('\n' .. ARGV[at + 1], '\n' .. row.id .. '\t', 1, true) then return { 7 } end
  end
end
if entity ~= '' then
  for at = 12, own_end - 1, 4 do -- before anything is written: what all entities hold together must stay exact
    local state = read_feature(keys, ARGV[at], entity, 0)
    local granted = (state.held and state.held.granted or 0) - own_totals(state.own).granted
    for grant in string.gmatch(ARGV[at + 1], '[^\t\n]*\t%a\t(%d+)\t[^\n]*') do granted = granted + tonumber(grant) end
    if granted > 9007199254740991 then return { 9 } end
  end
end
for at = entity == '' and 12 or own_end, #ARGV, 4 do
  if not fits_slots(keys, ARGV[at + 1], 0) then return { 9 } end
end

local lines, counter = {}, tonumber(known[3])
if ARGV[7] ~= '' then lines[1] = ARGV[7] end
for at = 12, #ARGV, 4 do
  local owner, moved = entity, carries
  if at >= own_end then owner, moved = '', {} end
  if at < own_end and counted[ARGV[at]] then
    local plan, fields = { pools = { { state = read_feature(keys, ARGV[at], entity, now) } }, sources = {} }, {}
    counter = commit_plan(keys, plan, counter, lines, fields)
    if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  end
  local state = read_feature(keys, ARGV[at], owner, 0)
  state.counter, state.resting = counter, resting
  if owner == '' then
    local of_slots = place_rows(keys, state, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), lines, moved)
    counter = state.counter
    for _, one in ipairs(of_slots) do -- what a row for all gave is used of the slots, first-created entities first
      local plan, fields = aim_plan(read_feature(keys, ARGV[at], '', now), now, 'add', -one.units, one.id), {}
      counter = plan and commit_plan(keys, plan, counter, lines, fields) or counter
      if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
    end
  else
    place_own(keys, state, ARGV[at + 1], ARGV[at + 2], lines, moved)
    counter = state.counter
  end
end
redis.call('HINCRBY', keys.customer, 'rev', 1)
if ARGV[7] ~= '' then lines[1] = string.gsub(ARGV[7], unset, resting) end
local document = string.gsub(ARGV[6], unset, resting)
if entity == '' then
  redis.call('HSET', keys.customer, 'subs', document)
else
  redis.call('HSET', keys.entities, 'e:' .. entity, string.match(held, '^%d+\t%d+\t[^\t]*\t') .. document)
end
store_rules(keys, entity, ARGV[8])
store_rules(keys, '', ARGV[10])
append_entry(keys, 'plan', ARGV[1], known[1], tonumber(known[2]) + 1, counter, ARGV[3], ARGV[2], lines, {})
return { 1 }
