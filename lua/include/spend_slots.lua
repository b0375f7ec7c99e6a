--[[
Carry out a customer-level decision on a per-entity row: entities are visited in creation order, each for what it can
give, found through the marks. O(1) for each entity that is touched. The row remembers the first entity that may
have something left, so that a long run of drained ones is passed once. The sums say that there is enough; should the
marks ever disagree with them, the walk ends rather than fail half way.

spend_slots(keys, state, source, lines)
]]
--@include parse_pairs
--@include first_member
--@include index_set
--@include move_slot
local function spend_slots(keys, state, source, lines)
  local row, grant, floor = source.row, source.row.grant, source.row.floor
  if source.boundless then floor = nil end

  -- Moves what the given share of the entity's slot says, and returns the units moved. To move nothing ends the walk.
  local function visit(entity, number, share)
    local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. entity))
    local moved = share(slots[row.period] or 0)
    move_slot(keys, state, row, { id = entity, number = number }, slots, moved, lines)
    return moved
  end
  local function first_in(class)
    return first_member(keys.index, index_set(row.period, class), nil, 0)
  end
  local function first_outside(class, from)
    return first_member(keys.index, index_set(row.band, 0), class and index_set(row.period, class), from)
  end

  local left, going = source.take, true
  while left > 0 and going do
    local entity, number
    if grant > 0 then
      entity, number = first_outside(0, row.first)
      row.first = number or row.first
    else -- an untouched slot has nothing to give, so only those above the grant count
      entity, number = first_in(4)
    end
    if not entity then break end
    local moved = visit(entity, number, function(used) return math.max(0, math.min(left, grant - used)) end)
    left, going = left - moved, moved ~= 0
  end
  local below = source.extra
  while below > 0 and going do
    local entity, number = first_outside(floor and 3 or nil, 0)
    if not entity then break end
    local moved = visit(entity, number, function(used)
      return floor and math.max(0, math.min(below, floor + grant - used)) or below
    end)
    below, going = below - moved, moved ~= 0
  end
  while below < 0 and going and not row.unlimited do
    local entity, number = first_in(2)
    if not entity then break end
    local moved = visit(entity, number, function(used) return -math.max(0, math.min(-below, used - grant)) end)
    below, going = below - moved, moved ~= 0
  end
  while left < 0 and going do
    local entity, number = first_in(1)
    if not entity then break end
    local moved = visit(entity, number, function(used) return -math.max(0, math.min(-left, used)) end)
    left, going = left - moved, moved ~= 0
  end
  local above = source.credit - math.min(0, below)
  if above ~= 0 then
    local entity, number = first_outside(nil, 0)
    visit(entity, number, function() return -above end)
  end
end
