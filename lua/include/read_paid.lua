--[[
Read the features that paid for a hold and are not among those that would pay for it today.

read_paid(keys, part, receipt, entity, now_ms): part as read_parts, receipt as keep_lock wrote it.
Returns the list of their states; or, second, 5 when rows are due (settle first).
]]
--@include read_feature
local function read_paid(keys, part, receipt, entity, now)
  local known, others = {}, {}
  for _, state in ipairs(part.states) do known[state.feature] = true end
  for feature in string.gmatch(receipt, '\n([^\t\n]+)\t') do
    if not known[feature] then
      local state = read_feature(keys, feature, entity, now)
      if state.due then return nil, 5 end
      known[feature], others[#others + 1] = true, state
    end
  end
  return others
end
