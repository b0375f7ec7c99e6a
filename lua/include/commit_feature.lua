--[[
Carry out a decision on one feature and write its live numbers. Everything fallible was decided before; from here on
there are only writes.

commit_feature(keys, state, sources, lines) appends the outbox lines. The caller writes seq and counter.
]]
--@include begin_periods
--@include spend_slots
--@include spend_held
--@include format_held
local function commit_feature(keys, state, sources, lines)
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
      move_slot(keys, state, row, owner.id, owner.number, delta, lines)
    elseif source.kind == 'p' then
      spend_slots(keys, state, source, lines)
    else
      spend_held(keys, state, source, lines)
    end
  end
  if own_changed then store_own(keys, state, owner.id, owner.number, before, state.own) end
  if state.changed then
    state.live = format_live(state.rows)
    redis.call('HSET', keys.customer, 'v:' .. state.feature, state.live)
  end
  if state.held_changed then
    redis.call('HSET', keys.customer, 'h:' .. state.feature, format_held(state.held))
  end
end
