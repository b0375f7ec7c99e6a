--[[
Store the rows an entity holds itself after a change: their live numbers, the sums of the feature, the index, and the
time they are due next.

store_own(keys, state, entity, number, before, rows): before is own_totals as the sums know it. Changes state.held.
]]
--@include own_totals
--@include mark
--@include format_live
local function store_own(keys, state, entity, number, before, rows)
  local after, held = own_totals(rows, false), state.held
  for _, name in ipairs({ 'granted', 'used', 'over', 'credit', 'rows', 'unlimited', 'sunk' }) do
    held[name] = held[name] + after[name] - before[name]
  end
  for class = 0, 4 do
    mark(keys.marks, held.band, class, entity, number, before.classes[class] or false, after.classes[class] or false)
  end
  local field = state.feature .. '\t' .. entity
  local due
  for _, row in ipairs(rows) do
    for _, at in ipairs({ row.due, row.expires }) do
      if at > 0 and (not due or at < due) then due = at end
    end
  end
  if due then redis.call('ZADD', keys.due, string.format('%d', due), field) else redis.call('ZREM', keys.due, field) end
  if #rows > 0 then
    redis.call('HSET', keys.entities, 'v:' .. field, format_live(rows))
  else
    redis.call('HDEL', keys.entities, 'v:' .. field, 'h:' .. field)
  end
  state.held_changed = true
end
