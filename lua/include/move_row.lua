--[[
Move units on a row that is one number, and tell the outbox.

move_row(state, row, entity, delta, lines): entity '' for the customer's rows. Returns true when something moved.
]]
--@include note_move
local function move_row(state, row, entity, delta, lines)
  if delta == 0 then return false end
  row.used = row.used + delta
  note_move(state, row, entity, delta, row.used, lines)
  return true
end
