--[[
The entity of a number; nil if there is none.

entity_at(index, number): index as read_index.
]]
--@include read_index
local function entity_at(index, number)
  local names = read_index(index, string.format('n:%d', math.floor(number / 64)))
  local line = string.format('\n%d\t', number)
  local _, first = string.find(names or '', line, 1, true)
  return first and string.match(names, '^[^\n]*', first + 1)
end
