--[[
Sum up the rows an entity holds itself, and say which classes of the index it belongs to: rollovers apart from the rest,
since they are spent before anything else.

own_totals(rows, old): old true sums the numbers as they were before a due reset was computed.
Returns the sums of the rows and, second, of the rollovers: granted, used, over, credit, rows, unlimited, sunk, classes
(0 open, 1 used, 2 over, 3 member, 4 unlimited).
]]
local function own_totals(rows, old)
  local function nothing()
    return { granted = 0, used = 0, over = 0, credit = 0, rows = 0, unlimited = 0, sunk = 0, classes = {} }
  end
  local held, rolled = nothing(), nothing()
  for _, row in ipairs(rows) do
    if row.kind == 'c' and not (old and row.made) then
      local total, used = row.rolled and rolled or held, old and row.old_used or row.used
      local grant = old and row.old_grant or row.grant
      total.rows = total.rows + 1
      total.classes[3] = true
      if row.unlimited then
        total.unlimited, total.sunk = total.unlimited + 1, total.sunk + used
        total.classes[4] = true
      else
        total.granted, total.used = total.granted + grant, total.used + used
        total.over = total.over + math.max(0, used - grant)
        total.credit = total.credit + math.max(0, -used)
        if used < grant then total.classes[0] = true end
        if used > 0 then total.classes[1] = true end
        if used > grant then total.classes[2] = true end
      end
    end
  end
  return held, rolled
end
