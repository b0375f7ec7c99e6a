--[[
Let a number of the index stand for an entity, or for none any more. The names of 64 numbers share a field: a line feed,
the number, a tab and the entity for each.

name_number(index, number, entity): index as read_index; entity nil forgets the number.
]]
--@include read_index
--@include write_index
local function name_number(index, number, entity)
  local field, line = 'n:' .. math.floor(number / 64), '\n' .. number .. '\t'
  local names = read_index(index, field) or ''
  local first = string.find(names, line, 1, true)
  if first then
    local stop = string.find(names, '\n', first + 1, true) or #names + 1
    names = string.sub(names, 1, first - 1) .. string.sub(names, stop)
  end
  if entity then names = names .. line .. entity end
  write_index(index, field, names ~= '' and names or nil)
end
