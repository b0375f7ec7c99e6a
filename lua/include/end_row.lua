--[[
End a row: the outbox learns of it, an id that a caller chose for it is free again, and how far its slots have rolled
over is forgotten, and so is what they would have carried over.

end_row(keys, feature, row, lines)
]]
--@include drop_carry
local function end_row(keys, feature, row, lines)
  lines[#lines + 1] = string.format('G\t%s\t%s', feature, row.id)
  redis.call('HDEL', keys.customer, 'i:' .. row.id, 'z:' .. row.id)
  if row.kind == 'p' then drop_carry(keys, row.id) end
end
