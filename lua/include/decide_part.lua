--[[
Decide one part of a use and say what stands in its way.

decide_part(part, mode, now_ms, properties): part as read_parts; gets plan and applied.
Returns nil, 4 when it is refused, or 9 when a balance would leave the exact range.
]]
--@include make_plan
--@include decide
local function decide_part(part, mode, now, properties)
  local amount = part.amount
  part.plan = make_plan(part.states, part.ratios, now, properties)
  local left = decide(part.plan, amount, mode)
  if not left then return 9 end
  part.applied = #part.plan.sources == 0 and 0 or amount < 0 and amount + left or amount - left
  if mode == 'reject' and amount > 0 and left > 0 then return 4 end
end
