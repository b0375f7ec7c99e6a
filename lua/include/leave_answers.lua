--[[
Let every part of a reply show its pools as the call leaves them: parts may share one.

leave_answers(reply, parts): reply as add_answer filled it in.
]]
--@include describe_feature
local function leave_answers(reply, parts)
  for at, part in ipairs(#parts > 1 and parts or {}) do
    for place, state in ipairs(part.states) do reply[3][at][place] = describe_feature(state) end
  end
end
