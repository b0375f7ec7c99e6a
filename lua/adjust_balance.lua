--[[
Change balances of one feature in one scope by hand: give rows another text, add or end some, then set what is left or
used. Both or nothing, if no row of the customer has changed since the caller decided; uses in flight are not lost.

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
ARGV[6] feature
ARGV[7] unit        what one entity of the feature counts for
ARGV[8] claim       id of a new row that a caller chose, empty for none
ARGV[9] target      as aim_amount, or carry: what was used of the rows that end is taken from those that stay
ARGV[10] amount     of the target, in units
ARGV[11] rows       ids of the rows the target is about, joined by tabs; empty for all
ARGV[12] rules      records of store_rules once the edits are made, may be empty
ARGV[13...] edits   as edit_rows

Returns {status}: 1 done, 2 customer missing, 3 entity missing, 5 rows are due, or what had the id has expired (settle
first), 6 the id is taken, 7 a row has changed: decide again, 9 a balance, or what all entities hold together, would
leave the exact range (nothing written for any of these)
]]
--@include read_feature
--@include edit_rows
--@include preview_rows
--@include aim_plan
--@include commit_plan
--@include place_rows
--@include place_own
--@include store_rules
--@include append_entry
--@include fits_slots

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
}
local entity, feature, claim, target, now = ARGV[5], ARGV[6], ARGV[8], ARGV[9], tonumber(ARGV[3])
local edits = {}
for at = 13, #ARGV, 3 do edits[#edits + 1] = { id = ARGV[at], due = ARGV[at + 1], line = ARGV[at + 2] } end
local state = read_feature(keys, feature, entity, now)
if not state then return { 2 } end
if entity ~= '' and not state.entity then return { 3 } end
if redis.call('HGET', keys.customer, 'rev') ~= ARGV[4] then return { 7 } end
if state.due or state.rolls then return { 5 } end
local claimed = claim ~= '' and redis.call('HGET', keys.customer, 'i:' .. claim)
if claimed then -- an id is free once the end of its balance is written: settle does that for one that has expired
  local its_feature, holder = string.match(claimed, '^([^\t]*)\t(.*)$')
  local its = read_feature(keys, its_feature, holder, now)
  for _, row in ipairs(holder == '' and its.rows or its.own) do
    if row.id == claim and row.gone then return { 5 } end
  end
  return { 6 }
end
for _, edit in ipairs(entity == '' and edits or {}) do
  if not fits_slots(keys, edit.line, 0) then return { 9 } end
end

local amount = tonumber(ARGV[10])
if target == 'carry' then
  target, amount = 'add', 0
  for _, edit in ipairs(edits) do
    for _, row in ipairs(entity == '' and state.rows or state.own) do
      -- Continuous use moves on by itself, wherever rows end; what rolled over goes with its row.
      local stays = row.rolled or string.find(row.flags, 'a', 1, true)
      if row.id == edit.id and edit.line == '' and not stays then amount = amount - row.used end
    end
  end
end

local lines, fields, counter = {}, {}, state.counter
if #edits > 0 then
  local preview = preview_rows(state, edits)
  if not preview or not aim_plan(preview, now, target, amount, ARGV[11]) then return { 9 } end
  counter = commit_plan(keys, { pools = { { state = state } }, sources = {} }, counter, lines, fields) -- resets due
  if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  fields = {}

  local before = read_feature(keys, feature, entity, 0)
  before.counter = counter
  local static, dues = edit_rows((entity == '' and before.static or before.own_static) or '', edits)
  if entity == '' then
    place_rows(keys, before, static, dues, tonumber(ARGV[7]), lines, {})
  else
    place_own(keys, before, static, dues, lines, {})
  end
  counter = before.counter
  if claim ~= '' then redis.call('HSET', keys.customer, 'i:' .. claim, feature .. '\t' .. entity) end
  store_rules(keys, entity, ARGV[12])
  redis.call('HINCRBY', keys.customer, 'rev', 1)
  state = read_feature(keys, feature, entity, now)
end

local plan = aim_plan(state, now, target, amount, ARGV[11])
if not plan then return { 9 } end
counter = commit_plan(keys, plan, counter, lines, fields)
append_entry(keys, 'balance', ARGV[1], state.id, state.seq + 1, counter, ARGV[3], ARGV[2], lines, fields)
return { 1 }
