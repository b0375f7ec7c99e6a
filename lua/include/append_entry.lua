--[[
Write one outbox entry, the customer's new place in its own history, the fields of the customer that changed and what
changed of the index: one write each, the last step of every change.

append_entry(keys, kind, head, id, seq, counter, now_ms, request_id, lines, fields): head is 'env<tab>customer_id',
fields is a flat list of field, value.
]]
--@include close_index
--@include entry_text
local function append_entry(keys, kind, head, id, seq, counter, now, request_id, lines, fields)
  local place = string.format('%d', seq)
  redis.call('HSET', keys.customer, 'seq', place, 'counter', string.format('%d', counter), unpack(fields))
  if keys.index then close_index(keys.index) end
  local body = lines[1] and '\n' .. table.concat(lines, '\n') or ''
  redis.call('XADD', keys.outbox, '*', 'e', entry_text(kind, head, id, place, now, request_id, body))
end
