--[[
The first-created entity that is NOT in a class of the marks, looking from a number on below which all are in it.
One read when that is the very next one, O(log^2 n) at worst.

Both sets are sorted by entity number and the class is a subset of the order, so "the first k of both agree" holds up
to some k and never after it: k is found by binary search, and the entity of rank k is the answer.

first_unmarked(order_key, order_band, marks_key, band, class, from): class nil takes the first of all.
Returns entity, number; or nil.
]]
--@include score_base
local function first_unmarked(order_key, order_band, marks_key, band, class, from)
  local order_base, marks_base = score_base(order_band, 0), score_base(band, class or 0)

  local function text(number) return string.format('%d', number) end
  local function first(key, base)
    local found = redis.call(
      'ZRANGEBYSCORE', key, text(base + from), text(base + 16777215), 'WITHSCORES', 'LIMIT', 0, 1)
    return found[1], found[2] and tonumber(found[2]) - base
  end
  local function at(key, base, rank)
    local found = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')
    local number = found[2] and tonumber(found[2]) - base
    if number and number >= 0 and number < 16777216 then return found[1], number end
  end

  local entity, number = first(order_key, order_base)
  if not entity or not class then return entity, number end
  local _, marked = first(marks_key, marks_base)
  if marked ~= number then return entity, number end

  local order_from = redis.call('ZCOUNT', order_key, '-inf', '(' .. text(order_base + from))
  local marks_from = redis.call('ZCOUNT', marks_key, '-inf', '(' .. text(marks_base + from))
  local low, high = 1, redis.call('ZCOUNT', marks_key, text(marks_base + from), text(marks_base + 16777215))
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, ordered = at(order_key, order_base, order_from + middle)
    local _, indexed = at(marks_key, marks_base, marks_from + middle)
    if ordered == indexed then low = middle + 1 else high = middle end
  end
  return at(order_key, order_base, order_from + low)
end
