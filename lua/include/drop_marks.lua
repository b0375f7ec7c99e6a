--[[
Forget which slots of one period of a row differ from full.

drop_marks(marks_key, period)
]]
--@include score_base
local function drop_marks(marks_key, period)
  redis.call('ZREMRANGEBYSCORE', marks_key, string.format('%d', score_base(period, 0)),
    string.format('%d', score_base(period + 1, 0) - 1))
end
