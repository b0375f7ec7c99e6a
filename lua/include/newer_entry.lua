--[[
Whether the outbox holds an entry of this customer that SQL has not applied yet. Looks at no more than limit entries:
a longer tail counts as newer, the caller waits for the writer.

newer_entry(outbox_key, cursor, head, limit): cursor is the last stream id SQL has applied, head is 'env<tab>customer'.
]]
local function newer_entry(outbox_key, cursor, head, limit)
  local entries = redis.call('XRANGE', outbox_key, '(' .. cursor, '+', 'COUNT', limit)
  if #entries >= limit then return true end
  for _, entry in ipairs(entries) do
    local env, customer = string.match(entry[2][2], '^[^\t]*\t([^\t]*)\t([^\t]*)\t')
    if env .. '\t' .. customer == head then return true end
  end
  return false
end
