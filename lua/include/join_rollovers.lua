--[[
Keep the rollovers of a row to so many, for every call reads them all: of those that never end a dozen, beyond which the
oldest become one, and of those that expire a hundred, beyond which two that expire within a hundredth of their time of
each other become one that expires with the later. Each is spent as they were.

join_rollovers(rows, parent, months): rows in spending order; months until a rollover of the parent expires, 0 for
never. The one that remains is changed, those it takes in are gone; one that was begun to be spent stays as it is, for
answers show what was used of it.
]]
--@include resize_row
local function join_rollovers(rows, parent, months)
  local apart, ends = {}, months > 0
  for _, row in ipairs(rows) do
    local is_whole = row.rolled and row.roll == parent.id and row.used == 0 and not row.gone
    if is_whole and (row.expires > 0) == ends then apart[#apart + 1] = row end
  end

  local function join(one, into)
    local sum = one.grant + into.grant
    if sum > 9007199254740991 then return 0 end
    resize_row(into, sum)
    one.gone = true
    return 1
  end

  if not ends then
    for place = 2, #apart - 11 do join(apart[place], apart[1]) end
    return
  end
  local excess, span = #apart - 100, months * 26784000 -- a hundredth of as many months of 31 days
  for place = 2, #apart do
    if excess <= 0 then return end
    local one, later = apart[place - 1], apart[place]
    if math.floor(one.expires / span) == math.floor(later.expires / span) then excess = excess - join(one, later) end
  end
end
