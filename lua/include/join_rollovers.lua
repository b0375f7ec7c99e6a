--[[
Keep the rollovers of a row that never end to a dozen: beyond that the oldest become one, which is spent as they were.
Else there would be one more at each reset, for every call to read.

join_rollovers(rows, parent): rows in spending order. The one that remains is changed, those it takes in are gone; one
that was begun to be spent stays as it is, for answers show what was used of it.
]]
--@include resize_row
local function join_rollovers(rows, parent)
  local lasting = {}
  for _, row in ipairs(rows) do
    if row.rolled and row.roll == parent.id and row.expires == 0 and row.used == 0 and not row.gone then
      lasting[#lasting + 1] = row
    end
  end
  local oldest = lasting[1]
  for place = 2, #lasting - 11 do
    local sum = oldest.grant + lasting[place].grant
    if sum > 9007199254740991 then return end
    resize_row(oldest, sum)
    lasting[place].gone = true
  end
end
