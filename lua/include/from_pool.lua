--[[
Say how many whole units of the feature some units of a pool have paid for; the inverse of to_pool, rounded down.

from_pool(pool, units): units not negative.
]]
local function from_pool(pool, units)
  local whole, rest = math.floor(units / pool.num), units % pool.num
  return whole * pool.den + math.floor(rest * pool.den / pool.num)
end
