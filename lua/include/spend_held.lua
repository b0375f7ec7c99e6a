--[[
Carry out a customer-level decision on what entities hold themselves (walk_held says how it is spread).

spend_held(keys, state, source, lines)
]]
--@include walk_held
--@include move_row
--@include store_own
local function spend_held(keys, state, source, lines)
  local holders = {}
  for _, one in ipairs(walk_held(keys, state, source)) do
    local holder = one.holder
    if not holder.place then
      holders[#holders + 1] = holder
      holder.place = #holders
    end
    move_row(state, one.row, holder.id, one.units, lines)
  end
  for _, holder in ipairs(holders) do
    store_own(keys, state, holder.id, holder.number, holder.before, holder.before_rolled, holder.rows)
  end
  state.holders = nil -- whoever walks next reads what has been written
end
