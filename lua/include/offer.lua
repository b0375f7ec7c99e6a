--[[
Let a source pay for units of the feature that are left, up to so many units of its own pool. An amount is converted
once for each pool: what a pool takes in all is to_pool of all it covers, from_pool where it runs dry first.

offer(source, most, left) counts covers of the source, and taken and covered of its pool. Returns the units taken, and
the units of the feature that are left then.
]]
--@include to_pool
--@include from_pool
local function offer(source, most, left)
  if most <= 0 then return 0, left end
  local pool = source.pool
  if pool.exact then
    local units = math.min(left, most)
    source.covers = source.covers + units
    return units, left - units
  end
  local want = to_pool(pool, pool.covered + left) - pool.taken
  local units = math.min(want, most)
  pool.taken = pool.taken + units
  local covers = left
  if units < want then covers = math.max(0, math.min(left, from_pool(pool, pool.taken) - pool.covered)) end
  pool.covered, source.covers = pool.covered + covers, source.covers + covers
  return units, left - covers
end
