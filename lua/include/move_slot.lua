--[[
Move units on one slot of a per-entity row: the slot, the sums of the row, the index and the outbox together.

move_slot(keys, state, row, entity, number, delta, lines): delta > 0 consumes.
]]
--@include parse_pairs
--@include mark
--@include note_move
local function move_slot(keys, state, row, entity, number, delta, lines)
  if delta == 0 then return end
  local field = 'p:' .. state.feature .. '\t' .. entity
  local slots = parse_pairs(redis.call('HGET', keys.slots, field))
  local before = slots[row.period] or 0
  local after = before + delta
  slots[row.period] = after

  local parts = {}
  for _, other in ipairs(state.rows) do -- pairs of periods gone by are dropped here
    if other.kind == 'p' and slots[other.period] then
      parts[#parts + 1] = string.format('%d %d', other.period, slots[other.period])
    end
  end
  redis.call('HSET', keys.slots, field, table.concat(parts, ' '))

  local grant, floor = row.grant, row.floor
  row.used = row.used + delta
  row.over = row.over + math.max(0, after - grant) - math.max(0, before - grant)
  row.credit = row.credit + math.max(0, -after) - math.max(0, -before)
  mark(keys.marks, row.period, 0, entity, number, before >= grant, after >= grant)
  mark(keys.marks, row.period, 1, entity, number, before > 0, after > 0)
  mark(keys.marks, row.period, 2, entity, number, before > grant, after > grant)
  mark(keys.marks, row.period, 4, entity, number, before < 0, after < 0)
  if floor then mark(keys.marks, row.period, 3, entity, number, before - grant >= floor, after - grant >= floor) end
  note_move(state, row, entity, delta, after, lines)
  state.changed = true
end
