--[[
Whether the outbox holds, or held since, an entry of this customer that the caller's reading of SQL does not know. The
writer leaves the entry at its cursor in the stream, so a stream whose oldest entry is newer than the caller's cursor
has been trimmed past it: what was there is not known, and counts as newer. Looks at no more than limit entries: a
longer tail counts as newer too. The caller reads SQL again.

newer_entry(outbox_key, cursor, head, limit): cursor is the last stream id SQL had applied, '0-0' for none; head is
'env<tab>customer'.
]]
local function newer_entry(outbox_key, cursor, head, limit)
  local oldest = redis.call('XRANGE', outbox_key, '-', '+', 'COUNT', 1)[1]
  if not oldest then return false end
  if cursor == '0-0' then
    local facts = redis.call('XINFO', 'STREAM', outbox_key)
    for at = 1, #facts, 2 do
      if facts[at] == 'entries-added' and facts[at + 1] > redis.call('XLEN', outbox_key) then return true end
    end
  else
    local oldest_ms, oldest_seq = string.match(oldest[1], '^(%d+)-(%d+)$')
    local ms, seq = string.match(cursor, '^(%d+)-(%d+)$')
    oldest_ms, oldest_seq, ms, seq = tonumber(oldest_ms), tonumber(oldest_seq), tonumber(ms), tonumber(seq)
    if oldest_ms > ms or oldest_ms == ms and oldest_seq > seq then return true end
  end
  local entries = redis.call('XRANGE', outbox_key, '(' .. cursor, '+', 'COUNT', limit)
  if #entries >= limit then return true end
  for _, entry in ipairs(entries) do
    local env, customer = string.match(entry[2][2], '^[^\t]*\t([^\t]*)\t([^\t]*)\t')
    if env .. '\t' .. customer == head then return true end
  end
  return false
end
