--[[
Whether the outbox holds, or held since, an entry of this customer that the caller's reading of SQL does not know. The
writer leaves the entry at its cursor in the stream, so a stream whose oldest entry is newer than the caller's cursor
has been trimmed past it: what was there is not known, and counts as newer. Looks at no more than limit entries: a
longer tail counts as newer too, and so does an entry without a header: it stands for what the stream lost, up to where
SQL had come. The caller reads SQL again.

newer_entry(outbox_key, cursor, head, limit): cursor is the last stream id SQL had applied, '0-0' for none; head is
'env<tab>customer'.
]]
--@include is_below
local function newer_entry(outbox_key, cursor, head, limit)
  local oldest = redis.call('XRANGE', outbox_key, '-', '+', 'COUNT', 1)[1]
  if not oldest then return false end
  if cursor == '0-0' then
    local facts = redis.call('XINFO', 'STREAM', outbox_key)
    for at = 1, #facts, 2 do
      if facts[at] == 'entries-added' and facts[at + 1] > redis.call('XLEN', outbox_key) then return true end
    end
  elseif is_below(cursor, oldest[1]) then
    return true
  end
  local entries = redis.call('XRANGE', outbox_key, '(' .. cursor, '+', 'COUNT', limit)
  if #entries >= limit then return true end
  for _, entry in ipairs(entries) do
    local env, customer = string.match(entry[2][2], '^[^\t]*\t([^\t]*)\t([^\t]*)\t')
    if not env or env .. '\t' .. customer == head then return true end
  end
  return false
end
