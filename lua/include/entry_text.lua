--[[
The text of an outbox entry: its header, then its lines.

entry_text(kind, head, id, seq, now_ms, request_id, body): all texts, head 'env<tab>customer_id', body empty or lines
that begin with a line end. The short way of track writes the same at one go.
]]
local function entry_text(kind, head, id, seq, now, request_id, body)
  return kind .. '\t' .. head .. '\t' .. id .. '\t' .. seq .. '\t' .. now .. '\t' .. request_id .. body
end
