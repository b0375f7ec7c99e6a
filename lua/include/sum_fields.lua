--[[
Add the sums over what entities hold of a feature to the fields of the customer that are to be written.

sum_fields(state, fields): h: for their rows, o: for their rollovers, with which the customer is plain no more; fields
is a flat list of field, value.
]]
--@include format_held
local function sum_fields(state, fields)
  if state.held then
    fields[#fields + 1], fields[#fields + 2] = 'h:' .. state.feature, format_held(state.held)
  end
  if state.rolled then
    fields[#fields + 1], fields[#fields + 2] = 'o:' .. state.feature, format_held(state.rolled)
    if state.plain ~= false then fields[#fields + 1], fields[#fields + 2] = 'plain', '' end
    state.plain = false
  end
end
