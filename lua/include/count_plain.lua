--[[
Count a use of the short way in the usage limit that binds it (plain_limit), as count_windows does.

count_plain(customer_key, feature, read, stop, counted): read as read_fields returns it, whose extras become those of
now; counted is what the window has counted with the use. Returns the line for the outbox.
]]
local function count_plain(customer_key, feature, read, stop, counted)
  local told = string.format('%d\t%d', stop, counted)
  read[9] = 'w\t\t' .. told
  redis.call('HSET', customer_key, 'x:' .. feature, read[9])
  return '\nW\t' .. feature .. '\t\t\t' .. told
end
