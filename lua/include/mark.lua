--[[
Put an entity into a set of the index, or take it out, when its membership changed.

mark(index_key, band, class, number, before, after): before and after are booleans.
]]
--@include index_set
local function mark(index_key, band, class, number, before, after)
  if before == after then return end
  local set = index_set(band, class)
  local block = math.floor(number / 1024)
  local field, at, place = set .. ':' .. block, number % 1024 + 1, block * 3 + 1
  local texts = redis.call('HMGET', index_key, field, set)
  local members, counts = texts[1] or '', texts[2] or ''
  if (string.sub(members, at, at) == '1') == after then return end

  local function put(text, first, digits)
    return string.sub(text, 1, first - 1) .. string.rep('0', first - 1 - #text) .. digits
      .. string.sub(text, first + #digits)
  end
  local count = (tonumber(string.sub(counts, place, place + 2), 16) or 0) + (after and 1 or -1)
  counts = put(counts, place, string.format('%03x', count))
  if count > 0 then
    redis.call('HSET', index_key, field, put(members, at, after and '1' or '0'), set, counts)
  elseif string.find(counts, '[^0]') then
    redis.call('HDEL', index_key, field)
    redis.call('HSET', index_key, set, counts)
  else
    redis.call('HDEL', index_key, field, set)
  end
end
