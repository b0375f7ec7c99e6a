--[[
Cut what the rollovers of a row have left together down to its maximum, the earliest to expire first (hot-path section
5). A cut one is changed; one with nothing left is gone, cut or used up.

trim_rollovers(rows, parent): rows in spending order, so that rollovers come by expiry.
]]
--@include resize_row
local function trim_rollovers(rows, parent)
  local excess = -(tonumber(string.match(parent.roll, '^(%d*):')) or 9007199254740991)
  for _, row in ipairs(rows) do
    if row.rolled and row.roll == parent.id and not row.gone then excess = excess + row.grant - row.used end
  end
  for _, row in ipairs(rows) do
    if row.rolled and row.roll == parent.id and not row.gone then
      local cut = math.max(0, math.min(excess, row.grant - row.used))
      excess = excess - cut
      if cut > 0 then resize_row(row, row.grant - cut) end
      row.gone = row.grant == row.used or nil
    end
  end
end
