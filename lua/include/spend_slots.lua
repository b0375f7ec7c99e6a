--[[
Carry out a customer-level decision on a per-entity row: entities are visited in creation order, each for what it can
give, found through the index. O(log n) for each entity that is touched.

spend_slots(keys, state, source, lines)
]]
--@include first_marked
--@include first_unmarked
--@include move_slot
local function spend_slots(keys, state, source, lines)
  local row, grant = source.row, source.row.grant

  local function used_of(entity)
    return parse_pairs(redis.call('HGET', keys.slots, 'p:' .. state.feature .. '\t' .. entity))[row.period] or 0
  end
  local function first_open(class)
    return first_unmarked(keys.order, source.band, keys.marks, row.period, class)
  end

  local left = source.take
  while left > 0 do
    local entity, number
    if grant > 0 then
      entity, number = first_open(0)
    else -- an untouched slot has nothing to give, so only those above the grant count
      entity, number = first_marked(keys.marks, row.period, 4)
    end
    local moved = math.min(left, grant - used_of(entity))
    move_slot(keys, state, row, entity, number, moved, lines)
    left = left - moved
  end
  local below = source.extra
  while below > 0 do
    local entity, number = first_open(row.floor and 3 or nil)
    local moved = row.floor and math.min(below, row.floor + grant - used_of(entity)) or below
    move_slot(keys, state, row, entity, number, moved, lines)
    below = below - moved
  end
  while below < 0 and not row.unlimited do
    local entity, number = first_marked(keys.marks, row.period, 2)
    local moved = math.min(-below, used_of(entity) - grant)
    move_slot(keys, state, row, entity, number, -moved, lines)
    below = below + moved
  end
  while left < 0 do
    local entity, number = first_marked(keys.marks, row.period, 1)
    local moved = math.min(-left, used_of(entity))
    move_slot(keys, state, row, entity, number, -moved, lines)
    left = left + moved
  end
  local above = source.credit - math.min(0, below)
  if above ~= 0 then
    local entity, number = first_open(nil)
    move_slot(keys, state, row, entity, number, -above, lines)
  end
end
