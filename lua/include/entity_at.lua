--[[
The entity of a number; nil if there is none.

entity_at(index_key, number)
]]
local function entity_at(index_key, number)
  local names = redis.call('HGET', index_key, 'n:' .. math.floor(number / 64))
  return names and string.match(names, '\n' .. number .. '\t([^\n]*)')
end
