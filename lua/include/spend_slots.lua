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
  local all, drained = index_set(row.band, 0), index_set(row.period, 0)

  -- Moves units, one entity of a set after the other, as far as room(used) lets each; returns those that are left.
  local function spread(units, from, set, without, room)
    local sign = units < 0 and -1 or 1
    local left = math.abs(units)
    while left > 0 do
      local entity, number = first_member(keys.index, set, without, from)
      if not entity then break end
      if without == drained then row.first = number end
      local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. entity))
      local moved = math.max(0, math.min(left, room(slots[row.period] or 0)))
      if moved == 0 then break end
      move_slot(keys, state, row, { id = entity, number = number }, slots, sign * moved, lines)
      left, from = left - moved, number + 1
    end
    return sign * left
  end

  local function rest(used) return grant - used end
  if source.take > 0 and grant > 0 then
    spread(source.take, row.first, all, drained, rest)
  elseif source.take > 0 then -- an untouched slot has nothing to give, so only those above the grant count
    spread(source.take, 0, index_set(row.period, 4), nil, rest)
  end
  local below = source.extra
  if below > 0 then
    below = spread(below, 0, all, floor and index_set(row.period, 3), function(used)
      return floor and floor + grant - used or below
    end)
  elseif below < 0 and not row.unlimited then
    below = spread(below, 0, index_set(row.period, 2), nil, function(used) return used - grant end)
  end
  if source.take < 0 then spread(source.take, 0, index_set(row.period, 1), nil, function(used) return used end) end
  local above = math.min(0, below) - source.credit
  spread(above, 0, all, nil, function() return math.abs(above) end)
end
