--[[
Decide one part of a use and say what stands in its way.

decide_part(part, mode, now_ms, properties, of_check): part as read_parts; gets plan and applied. of_check is true for
the lock of a check: of nothing it holds nothing.
Returns nil, 4 when it is refused, or 9 when a balance would leave the exact range.
]]
--@include make_plan
--@include decide
local function decide_part(part, mode, now, properties, of_check)
  local amount = part.amount
  part.plan = make_plan(part.states, part.ratios, now, properties)
  local left = decide(part.plan, amount, mode)
  if not left then return 9 end
  local nothing = #part.plan.sources == 0
  part.applied = nothing and 0 or amount < 0 and amount + left or amount - left
  if amount > 0 and (mode == 'reject' and left > 0 or of_check and nothing) then return 4 end
end
