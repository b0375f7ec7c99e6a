--[[
Say what the one credit system that pays for a plain part has to give, where nothing of the feature itself is in sight.

plain_system(args, at, read, held): args and at as plain_part, of an amount above zero; read and held of the feature, as
read_fields returns them.
Returns nil, or the units of the system that pay, as a number and as text, the description of the feature, and the units
that pay for the smallest amount.
]]
--@include to_pool
local function plain_system(args, at, read, held)
  if read[4] or read[6] or read[7] or read[8] or read[9] or held and (held[3] or held[5] or held[6]) then return nil end
  local pool = { num = tonumber(args[at + 4]), den = tonumber(args[at + 5]) }
  local units = to_pool(pool, tonumber(args[at + 1]))
  if units == 0 then return nil end
  return units, string.format('%d', units), args[at] .. '\4\4\4\4\4\4\4\4\4\4\4\4', math.max(1, to_pool(pool, 1))
end
