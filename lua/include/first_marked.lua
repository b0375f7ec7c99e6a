--[[
The first-created entity of a class of the index, looking from a number on. O(log n).

first_marked(marks_key, band, class, from) returns entity, number; or nil.
]]
--@include score_base
local function first_marked(marks_key, band, class, from)
  local base = score_base(band, class)
  local found = redis.call('ZRANGEBYSCORE', marks_key, string.format('%d', base + from),
    string.format('%d', base + 16777215), 'WITHSCORES', 'LIMIT', 0, 1)
  if not found[1] then return nil end
  return string.match(found[1], '\t(.*)$'), tonumber(found[2]) - base
end
