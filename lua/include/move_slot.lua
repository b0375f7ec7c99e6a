--[[
Move units on one slot of a per-entity row: the slot, the sums of the row, its marks and the outbox together.

move_slot(keys, state, row, owner, slots, delta, lines): owner has id and number; slots are the pairs of that entity
(parse_pairs), changed in place; delta > 0 consumes.
]]
--@include mark
--@include note_move
local function move_slot(keys, state, row, owner, slots, delta, lines)
  if delta == 0 then return end
  local entity, number, period = owner.id, owner.number, row.period
  local before = slots[period] or 0
  local after = before + delta
  slots[period] = after

  local text = string.format('%d %d', period, after)
  for _, other in ipairs(state.rows) do -- pairs of periods gone by are dropped here
    if other ~= row and other.kind == 'p' and slots[other.period] then
      text = string.format('%s %d %d', text, other.period, slots[other.period])
    end
  end
  redis.call('HSET', keys.entities, 'p:' .. state.feature .. '\t' .. entity, text)

  local grant, floor = row.grant, row.floor
  row.used = row.used + delta
  row.over = row.over + math.max(0, after - grant) - math.max(0, before - grant)
  row.credit = row.credit + math.max(0, -after) - math.max(0, -before)
  if after < grant then
    if number < row.first then row.first = number end
  elseif number == row.first then
    row.first = number + 1
  end
  local function note(class, was, is) mark(keys.index, period, class, number, was, is) end
  if grant > 0 then note(0, before >= grant, after >= grant) end
  note(1, before > 0, after > 0)
  note(2, before > grant, after > grant)
  note(4, before < 0, after < 0)
  if floor and floor > 0 then note(3, before - grant >= floor, after - grant >= floor) end
  note_move(state, row, entity, delta, after, lines)
  state.changed = true
end
