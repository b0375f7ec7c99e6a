--[[
Sum up the rows an entity holds itself, and say which classes of the index it belongs to.

own_totals(rows, old): old true sums the numbers as they were before a due reset was computed.
Returns granted, used, over, credit, rows, unlimited, sunk, classes (0 open, 1 used, 2 over, 3 member, 4 unlimited).
]]
local function own_totals(rows, old)
  local total = { granted = 0, used = 0, over = 0, credit = 0, rows = 0, unlimited = 0, sunk = 0, classes = {} }
  for _, row in ipairs(rows) do
    if row.kind == 'c' then
      local used = old and row.old_used or row.used
      total.rows = total.rows + 1
      total.classes[3] = true
      if row.unlimited then
        total.unlimited, total.sunk = total.unlimited + 1, total.sunk + used
        total.classes[4] = true
      else
        total.granted, total.used = total.granted + row.grant, total.used + used
        total.over = total.over + math.max(0, used - row.grant)
        total.credit = total.credit + math.max(0, -used)
        if used < row.grant then total.classes[0] = true end
        if used > 0 then total.classes[1] = true end
        if used > row.grant then total.classes[2] = true end
      end
    end
  end
  return total
end
