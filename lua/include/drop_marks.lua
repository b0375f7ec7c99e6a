--[[
Forget which slots of one period of a row differ from full: one removal for 1,024 numbers.

drop_marks(index_key, period)
]]
--@include index_set
local function drop_marks(index_key, period)
  for class = 0, 4 do
    local set = index_set(period, class)
    local counts = redis.call('HGET', index_key, set)
    if counts then
      redis.call('HDEL', index_key, set)
      for block = 0, #counts / 3 - 1 do redis.call('HDEL', index_key, set .. ':' .. block) end
    end
  end
end
