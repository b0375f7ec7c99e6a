--[[
The part of a use that names one feature no credit system pays for, which most do.

plain_part(args, at): args as read_parts. Returns feature, amount and amount as text; or nil.
]]
local function plain_part(args, at)
  if args[at + 2] ~= '0' or args[at + 3] then return nil end
  return args[at], tonumber(args[at + 1]), args[at + 1]
end
