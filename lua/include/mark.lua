--[[
Put an entity into a class of the index, or take it out, when its membership changed.

mark(marks_key, band, class, entity, number, before, after): before and after are booleans.
]]
--@include score_base
local function mark(marks_key, band, class, entity, number, before, after)
  if before == after then return end
  local member = string.format('%d:%d\t%s', band, class, entity)
  if after then
    redis.call('ZADD', marks_key, string.format('%d', score_base(band, class) + number), member)
  else
    redis.call('ZREM', marks_key, member)
  end
end
