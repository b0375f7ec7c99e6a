--[[
Note units moved on one slot of a row: a line for the outbox, and the sum by row that the answer shows.

note_move(state, row, entity, delta, used, lines): used is the slot after the move.
]]
local function note_move(state, row, entity, delta, used, lines)
  lines[#lines + 1] = string.format('D\t%s\t%s\t%s\t%d\t%d\t%d\t%d',
    state.feature, row.id, entity, row.period, delta, used, row.used)
  local moves, places = state.moves or {}, state.move_places or {}
  state.moves, state.move_places = moves, places
  local at = places[row.id]
  if at then
    moves[at + 1] = moves[at + 1] + delta
    return
  end
  places[row.id] = #moves + 1
  moves[#moves + 1], moves[#moves + 2], moves[#moves + 3] = row.line, delta, row.due
end
