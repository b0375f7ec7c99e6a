--[[
Put together all that a use of a part may spend from, as it is in memory now.

plan_part(part, lone, now_ms, properties): part as read_parts, lone as list_sources has it. Returns what make_plan does.
]]
--@include make_plan
local function plan_part(part, lone, now, properties)
  for _, state in ipairs(part.states) do state.lone = lone end
  return make_plan(part.states, part.ratios, now, properties)
end
