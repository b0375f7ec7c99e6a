--[[
Note units moved on one slot of a row: a line for the outbox, and the sum by row that the answer shows.

note_move(state, row, entity, delta, used, lines): used is the slot after the move.
]]
local function note_move(state, row, entity, delta, used, lines)
  lines[#lines + 1] = string.format('D\t%s\t%s\t%s\t%d\t%d\t%d\t%d',
    state.feature, row.id, entity, row.period, delta, used, row.used)
  local moves = state.moves or {}
  state.moves = moves
  for at = 1, #moves, 3 do
    if moves[at] == row.line then
      moves[at + 1] = moves[at + 1] + delta
      return
    end
  end
  moves[#moves + 1], moves[#moves + 2], moves[#moves + 3] = row.line, delta, row.due
end
