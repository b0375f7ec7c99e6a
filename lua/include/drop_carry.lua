--[[
Forget what carry_slots prepared of a row, because it became real or because it will not.

drop_carry(keys, row_id, kept): kept true leaves the marks of the period, which are real by now. Returns the period and
the texts of the pages, or nil when nothing was prepared.
]]
--@include drop_marks
local function drop_carry(keys, row_id, kept)
  local place, pages = 'y:' .. row_id, {}
  local known = redis.call('HGET', keys.customer, place)
  if not known then return nil end
  local period, count = string.match(known, '^%d+ (%d+) .* (%d+)$')
  for page = 1, tonumber(count) do
    local field = string.format('%s\t%d', place, page)
    pages[page] = redis.call('HGET', keys.customer, field)
    redis.call('HDEL', keys.customer, field)
  end
  redis.call('HDEL', keys.customer, place)
  if not kept then drop_marks(keys.index, tonumber(period)) end
  return known, pages
end
