--[[
Add features to a plan that nothing is decided about, so that what is given back to them is written with it.

join_pools(plan, states) returns the plan.
]]
local function join_pools(plan, states)
  for _, state in ipairs(states) do
    plan.pools[#plan.pools + 1] = {
      state = state, num = 1, den = 1, exact = true, covered = 0, taken = 0, drained = 0, below = 0,
    }
  end
  return plan
end
