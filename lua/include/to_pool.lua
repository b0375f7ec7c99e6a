--[[
Convert units of a feature into units of a pool that pays for it, rounded half up, exact within 2^53: the remainder is
multiplied alone (the catalog keeps 2 * num * den below 2^53). More than the exact range comes back as 2^53, which no
balance takes.

to_pool(pool, units): units not negative.
]]
local function to_pool(pool, units)
  local whole, rest = math.floor(units / pool.den), units % pool.den
  return math.min(9007199254740992,
    whole * pool.num + math.floor((2 * rest * pool.num + pool.den) / (2 * pool.den)))
end
