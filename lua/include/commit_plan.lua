--[[
Carry out a decision. Everything fallible was decided before; from here on there are only writes.

commit_plan(keys, plan, counter, lines, fields) appends to the outbox lines and to the fields of the customer that the
caller writes with append_entry. Returns the counter, and for a plan that is noting what was taken (note_taken).
]]
--@include begin_plan
--@include spend_slots
--@include spend_held
--@include sum_fields
--@include store_own
--@include note_taken
--@include format_live
--@include move_row
--@include move_slot
local function commit_plan(keys, plan, counter, lines, fields)
  local from = {}
  if not plan.begun then counter = begin_plan(keys, plan, counter, lines) end
  for at, source in ipairs(plan.sources) do
    local state, row = source.pool.state, source.row
    if plan.noting then from[at] = #lines + 1 end
    if source.moved == 0 then
      -- Nothing was taken of it.
    elseif source.kind == 'c' then
      state.changed = move_row(state, row, '', source.moved, lines) or state.changed
    elseif source.kind == 'e' then
      state.own_changed = move_row(state, row, state.entity.id, source.moved, lines) or state.own_changed
    elseif source.kind == 's' then
      move_slot(keys, state, row, state.entity, state.slots, source.moved, lines)
    elseif source.kind == 'p' then
      spend_slots(keys, state, source, lines)
    else
      spend_held(keys, state, source, lines)
    end
  end
  local taken = plan.noting and note_taken(plan, lines, from) or nil
  for _, pool in ipairs(plan.pools) do
    local state = pool.state
    if state.own_changed then
      state.counter = counter
      store_own(
        keys, state, state.entity.id, state.entity.number, state.own_before, state.rolled_before, state.own)
      for _, row in ipairs(state.own) do row.old_used, row.old_grant, row.made = row.used, nil, nil end
      counter, state.own_changed = state.counter, false
    end
    if state.changed then
      fields[#fields + 1], fields[#fields + 2] = 'v:' .. state.feature, format_live(state.rows)
    end
    if state.held_changed then sum_fields(state, fields) end
  end
  return counter, taken
end
