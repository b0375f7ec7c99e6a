--[[
Add to the reply of track what one part did: units applied, how each of its pools is left, what each row gave.

add_answer(reply, part): reply is {status, applied, descriptions, moves}; the moves of the states begin anew.
]]
--@include describe_feature
local function add_answer(reply, part)
  local described, moved = {}, {}
  for at, state in ipairs(part.states) do
    described[at] = describe_feature(state)
    local moves = state.moves
    for place = 1, moves and #moves or 0, 3 do
      moved[#moved + 1] = { state.feature, moves[place], moves[place + 1], moves[place + 2] }
    end
    state.moves, state.move_places = nil, nil
  end
  local at = #reply[3] + 1
  reply[2][at], reply[3][at], reply[4][at] = part.applied, described, moved
end
