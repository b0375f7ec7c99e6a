--[[
Fetch all that one call may see of a feature: a fixed handful of fields, however many entities the customer has. Of a
plain customer (gateway/keys.py) some need not be asked for, and each one costs.

read_fields(customer_key, entities_key, feature, entity): entity '' is the customer level.
Returns the list id, seq, counter, rows, live, held, rolled, rules, extras of the customer, whether it is plain and, at
the entity level, the list document, slots, rows, live, rules, extras of the entity; false or nil is what there is not.
]]
local function read_fields(customer_key, entities_key, feature, entity)
  local read = redis.call('HMGET', customer_key, 'id', 'seq', 'counter', 'r:' .. feature, 'v:' .. feature,
    'h:' .. feature, 'plain')
  local plain = read[7] == '1'
  if plain then
    read[7] = false
  else
    local rest = redis.call('HMGET', customer_key, 'o:' .. feature, 'l:' .. feature, 'x:' .. feature)
    read[7], read[8], read[9] = rest[1], rest[2], rest[3]
  end
  read[10] = plain
  if entity == '' or not read[1] then return read end
  local field = feature .. '\t' .. entity
  if plain then
    return read, redis.call('HMGET', entities_key, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field)
  end
  return read, redis.call('HMGET', entities_key, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field,
    'l:' .. field, 'x:' .. field)
end
