--[[
Put an entity into a set of the index, or take it out, when its membership changed.

mark(index, band, class, number, before, after): index as read_index; before and after are booleans.
]]
--@include read_index
--@include write_index
--@include index_set
local function mark(index, band, class, number, before, after)
  if before == after then return end
  local set = index_set(band, class)
  local block = math.floor(number / 1024)
  local field, at, place = set .. ':' .. block, number % 1024 + 1, block * 3 + 1
  local members, counts = read_index(index, field, set)
  members, counts = members or '', counts or ''
  if (string.sub(members, at, at) == '1') == after then return end

  local function put(text, first, digits)
    return string.sub(text, 1, first - 1) .. string.rep('0', first - 1 - #text) .. digits
      .. string.sub(text, first + #digits)
  end
  local count = (tonumber(string.sub(counts, place, place + 2), 16) or 0) + (after and 1 or -1)
  counts = put(counts, place, string.format('%03x', count))
  write_index(index, field, count > 0 and put(members, at, after and '1' or '0') or nil)
  write_index(index, set, string.find(counts, '[^0]') and counts or nil)
end
