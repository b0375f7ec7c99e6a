--[[
Read the one credit system that pays for a plain part, where nothing of the feature itself is in sight.

plain_system(customer_key, entities_key, args, at, entity, read, held): args and at as plain_part, of an amount above
zero; read and held of the feature, as read_fields returns them.
Returns nil, or read and held of the system, the units of it that pay, as a number and as text, the description of the
feature, and the units that pay for the smallest amount.
]]
--@include read_fields
--@include to_pool
local function plain_system(customer_key, entities_key, args, at, entity, read, held)
  if read[4] or read[6] or read[7] or read[8] or read[9] or held and (held[3] or held[5] or held[6]) then return nil end
  local pool = { num = tonumber(args[at + 4]), den = tonumber(args[at + 5]) }
  local units = to_pool(pool, tonumber(args[at + 1]))
  if units == 0 then return nil end
  local paying, paying_held = read_fields(customer_key, entities_key, args[at + 3], entity)
  return paying, paying_held, units, string.format('%d', units), args[at] .. '\4\4\4\4\4\4\4\4\4\4\4\4',
    math.max(1, to_pool(pool, 1))
end
