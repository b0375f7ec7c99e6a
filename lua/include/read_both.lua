--[[
Fetch what one call may see of a feature and of the credit system that pays for it, with as many commands as of one.

read_both(customer_key, entities_key, feature, system, entity): as read_fields.
Returns the lists of the feature, then those of the system, as read_fields does.
]]
local function read_both(customer_key, entities_key, feature, system, entity)
  local read, rest = redis.call('HMGET', customer_key, 'id', 'seq', 'counter', 'r:' .. feature, 'v:' .. feature,
    'h:' .. feature, 'plain', 'r:' .. system, 'v:' .. system, 'h:' .. system), {}
  local plain = read[7] == '1'
  if not plain then
    rest = redis.call('HMGET', customer_key, 'o:' .. feature, 'l:' .. feature, 'x:' .. feature,
      'o:' .. system, 'l:' .. system, 'x:' .. system)
  end
  local paying = { read[1], read[2], read[3], read[8], read[9], read[10], rest[4], rest[5], rest[6], plain }
  read[7], read[8], read[9], read[10] = rest[1], rest[2], rest[3], plain
  if entity == '' or not read[1] then return read, nil, paying end
  local field, of_system = feature .. '\t' .. entity, system .. '\t' .. entity
  local held = redis.call('HMGET', entities_key, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field,
    'p:' .. of_system, 'h:' .. of_system, 'v:' .. of_system)
  if not plain then
    rest = redis.call('HMGET', entities_key, 'l:' .. field, 'x:' .. field, 'l:' .. of_system, 'x:' .. of_system)
  end
  local paying_held = { held[1], held[5], held[6], held[7], rest[3], rest[4] }
  held[5], held[6] = rest[1], rest[2]
  return read, held, paying, paying_held
end
