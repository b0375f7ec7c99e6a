--[[
Carry out a customer-level decision on what entities hold themselves, rollovers or the rest of their rows: first-created
entity first, its rows in order.
O(log n) for each entity that is touched.

spend_held(keys, state, source, lines)
]]
--@include parse_rows
--@include first_marked
--@include move_row
--@include store_own
--@include own_totals
local function spend_held(keys, state, source, lines)
  local held, rolled = source.sums, source.row.rolled

  -- Visits the first entity of a class and lets move(row) say how much of the amount the row takes; false when the
  -- class is empty or its first entity takes nothing, which ends the walk rather than fail half way or never end.
  local function visit(class, move)
    local entity, number = first_marked(keys.marks, held.band, class)
    if not entity then return false end
    local field = state.feature .. '\t' .. entity
    local texts = redis.call('HMGET', keys.entities, 'h:' .. field, 'v:' .. field)
    local rows = parse_rows(texts[1], texts[2], 0)
    local before, before_rolled = own_totals(rows)
    local any = false
    for _, row in ipairs(rows) do
      if row.kind == 'c' and row.rolled == rolled then any = move_row(state, row, entity, move(row), lines) or any end
    end
    store_own(keys, state, entity, number, before, before_rolled, rows)
    return any
  end

  local left, below, above = source.take, source.extra, source.credit
  local found = true
  while left > 0 and found do
    found = visit(0, function(row)
      local moved = row.unlimited and 0 or math.max(0, math.min(left, row.grant - row.used))
      left = left - moved
      return moved
    end)
  end
  while below < 0 and not source.row.unlimited and found do
    found = visit(2, function(row)
      local moved = row.unlimited and 0 or math.max(0, math.min(-below, row.used - row.grant))
      below = below + moved
      return -moved
    end)
  end
  while left < 0 and found do
    found = visit(1, function(row)
      local moved = row.unlimited and 0 or math.max(0, math.min(-left, row.used))
      left = left + moved
      return -moved
    end)
  end
  local rest = below - above
  if rest ~= 0 then
    visit(source.row.unlimited and 4 or 3, function(row)
      local moved = row.unlimited == source.row.unlimited and rest or 0
      rest = rest - moved
      return moved
    end)
  end
end
