--[[
Carry out a decision on one feature. Everything fallible was decided before; from here on there are only writes.

commit_feature(keys, state, sources, lines, fields) appends to the outbox lines and to the fields of the customer that
the caller writes with append_entry.
]]
--@include begin_periods
--@include spend_slots
--@include spend_held
--@include format_held
local function commit_feature(keys, state, sources, lines, fields)
  local owner = state.entity
  local before = owner and #state.own > 0 and own_totals(state.own, true)
  local own_changed = false
  begin_periods(keys, state, state.rows, '', lines)
  if owner then
    for _, row in ipairs(state.own) do own_changed = own_changed or row.fresh end
    begin_periods(keys, state, state.own, owner.id, lines)
  end
  for _, source in ipairs(sources) do
    local row, delta = source.row, source.take + source.extra - source.credit
    if source.kind == 'c' then
      state.changed = move_row(state, row, '', delta, lines) or state.changed
    elseif source.kind == 'e' then
      own_changed = move_row(state, row, owner.id, delta, lines) or own_changed
    elseif source.kind == 's' then
      move_slot(keys, state, row, owner, state.slots, delta, lines)
    elseif source.kind == 'p' then
      spend_slots(keys, state, source, lines)
    else
      spend_held(keys, state, source, lines)
    end
  end
  if own_changed then store_own(keys, state, owner.id, owner.number, before, state.own) end
  if state.changed then
    fields[#fields + 1], fields[#fields + 2] = 'v:' .. state.feature, format_live(state.rows)
  end
  if state.held_changed then
    fields[#fields + 1], fields[#fields + 2] = 'h:' .. state.feature, format_held(state.held)
  end
end
