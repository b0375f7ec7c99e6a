--[[
Fetch all that one call may see of a feature: a fixed handful of fields, however many entities the customer has.

read_fields(customer_key, entities_key, feature, entity): entity '' is the customer level.
Returns the list id, seq, counter, rows, live, held, rolled, rules, extras of the customer and, at the entity level, the
list document, slots, rows, live, rules, extras of the entity; false is what there is not.
]]
local function read_fields(customer_key, entities_key, feature, entity)
  local read = redis.call('HMGET', customer_key, 'id', 'seq', 'counter', 'r:' .. feature, 'v:' .. feature,
    'h:' .. feature, 'o:' .. feature, 'l:' .. feature, 'x:' .. feature)
  if entity == '' or not read[1] then return read end
  local field = feature .. '\t' .. entity
  return read, redis.call('HMGET', entities_key, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field,
    'l:' .. field, 'x:' .. field)
end
