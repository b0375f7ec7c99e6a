--[[
Add a row, one of its slots or all of them to the sources of a call (list_sources says what a source is).

add_source(sources, pool, kind, row, sums, used, grant, over, credit, copies): the last four follow from used and the
row where it is one number.
]]
local function add_source(sources, pool, kind, row, sums, used, grant, over, credit, copies)
  if row.rolled then sources.mixed = true end
  grant = grant or row.grant
  if not over then over, credit = used > grant and used - grant or 0, used < 0 and -used or 0 end
  sources[#sources + 1] = {
    kind = kind, row = row, used = used, copies = copies or 1, sums = sums, pool = pool,
    avail = grant - used + over, over = over, back = used + credit - over,
    take = 0, extra = 0, credit = 0, covers = 0, moved = 0, boundless = false,
  }
end
