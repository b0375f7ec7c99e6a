--[[
Write one outbox entry and the customer's new place in its own history. The last step of every change.

append_entry(keys, kind, head, id, seq, counter, now_ms, request_id, lines): head is 'env<tab>customer_id'.
Returns the stream id.
]]
local function append_entry(keys, kind, head, id, seq, counter, now, request_id, lines)
  redis.call('HSET', keys.customer, 'seq', string.format('%d', seq), 'counter', string.format('%d', counter))
  local header = string.format('%s\t%s\t%s\t%d\t%s\t%s', kind, head, id, seq, now, request_id)
  local body = #lines > 0 and '\n' .. table.concat(lines, '\n') or ''
  return redis.call('XADD', keys.outbox, '*', 'e', header .. body)
end
