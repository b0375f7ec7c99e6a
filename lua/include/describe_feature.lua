--[[
Say what a call saw (or left behind) of a feature, as the texts gateway/engine/views.py reads.

describe_feature(state) returns {feature, rows, live, held, counts, own rows, own live, slots}; counts has the
entities of each row (0 where it is not per entity), slots has the period and used of the entity's slots in row order.
]]
--@include format_live
--@include format_held
local function describe_feature(state)
  local counts, slots = {}, {}
  local owner = state.entity
  for at, row in ipairs(state.rows) do
    counts[at] = string.format('%d', state.counts[at] or 0)
    local matches = owner and row.kind == 'p' and row.entity_feature == owner.feature
    slots[at] = matches and string.format('%d', state.slots[row.period] or 0) or '-'
  end
  return {
    state.feature, state.static or '', format_live(state.rows), state.held and format_held(state.held) or '',
    table.concat(counts, ' '), state.own_static or '', format_live(state.own), table.concat(slots, ' '),
  }
end
