--[[
The part of a use that names one feature, which most do, paid for by itself or by one credit system.

plain_part(args, at): args as read_parts. Returns feature, amount, amount as text and, where one pays, the credit
system; or nil.
]]
local function plain_part(args, at)
  if args[at + 2] == '0' and not args[at + 3] then return args[at], tonumber(args[at + 1]), args[at + 1] end
  if args[at + 2] ~= '1' or args[at + 6] then return nil end
  return args[at], tonumber(args[at + 1]), args[at + 1], args[at + 3]
end
