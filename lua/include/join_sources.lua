--[[
Make one list of the sources of several credit systems, by the rank of their rows: which of them a row pays in is no
part of the spending order (hot-path section 3.2). What entities hold has no rank, and stays as it is, last.

join_sources(lists): of each feature what list_sources returned, the one asked for first.
Returns the first list and the joined one.
]]
local function join_sources(lists)
  local joined, places = {}, {}
  for at = 2, #lists do
    for _, source in ipairs(lists[at]) do
      joined[#joined + 1] = source
      places[source] = #joined
    end
  end
  table.sort(joined, function(one, other)
    local first, second = one.row.rank or '~', other.row.rank or '~'
    if first ~= second then return first < second end
    return places[one] < places[other]
  end)
  return { lists[1], joined }
end
