--[[
Decide how a target for what is left or used of a feature is reached by hand: whatever its rows permit, without their
limits and windows, and without its rollovers.

aim_plan(state, now_ms, target, goal, ids): target and goal as aim_amount; ids of the rows that are meant, joined by
tabs, empty for all.
Returns the plan as decide has filled it in, or nil when a balance would leave the exact range.
]]
--@include make_plan
--@include aim_amount
--@include decide
local function aim_plan(state, now, target, goal, ids)
  local plan = make_plan({ state }, { { 1, 1 } }, now, '{}')
  local meant, sources = '\t' .. ids .. '\t', {}
  for _, source in ipairs(plan.sources) do
    local id = source.row.id
    if not source.row.rolled and (ids == '' or id and string.find(meant, '\t' .. id .. '\t', 1, true)) then
      sources[#sources + 1] = source
    end
  end
  plan.sources = sources
  local amount = aim_amount(sources, target, goal)
  return amount and decide(plan, amount, 'allow') and plan or nil
end
