--[[
Note for the outbox that a row which stays has another text or another next reset.

note_text(state, row, entity, was, due, lines): was is the row before; due is '=' and the next reset when that changes,
anything else keeps it.
]]
local function note_text(state, row, entity, was, due, lines)
  local forced = string.match(due, '^=(%d+)$')
  if forced then row.due = tonumber(forced) end
  if row.line ~= was.line or row.due ~= was.due then
    lines[#lines + 1] = string.format('U\t%s\t%s\t%d\t%s', state.feature, entity, row.due, row.line)
  end
end
