--[[
Store the rows an entity holds itself after a change: their live numbers, the sums of the feature, the index, and the
time they are due next.

store_own(keys, state, entity, number, before, before_rolled, rows): before and before_rolled are own_totals as the sums
know them. Changes state.held and state.rolled, which begin with the first row; may raise state.counter.
]]
--@include own_totals
--@include mark
--@include format_live
local function store_own(keys, state, entity, number, before, before_rolled, rows)
  local after, after_rolled = own_totals(rows)

  local function add(place, was, is)
    if not state[place] then
      if was.rows + is.rows == 0 and (place == 'rolled' or #rows == 0) then return end
      state.counter = state.counter + 1
      state[place] = {
        band = state.counter, granted = 0, used = 0, over = 0, credit = 0, rows = 0, unlimited = 0, sunk = 0,
      }
    end
    local sums = state[place]
    for _, name in ipairs({ 'granted', 'used', 'over', 'credit', 'rows', 'unlimited', 'sunk' }) do
      sums[name] = sums[name] + is[name] - was[name]
    end
    for class = 0, 4 do
      mark(keys.index, sums.band, class, number, was.classes[class] or false, is.classes[class] or false)
    end
  end
  add('held', before, after)
  add('rolled', before_rolled, after_rolled)

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
