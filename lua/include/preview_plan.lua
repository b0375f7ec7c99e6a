--[[
Carry out a decision in memory only, so that the states show what there would be after it.

preview_plan(plan, applied, keys): applied as decide_part. Collects moves of the states as note_move does, those of rows
that entities hold only with keys to read them by, and counts windows in counted of the states.
]]
--@include walk_held
--@include note_move
local function preview_plan(plan, applied, keys)
  for at, source in ipairs(plan.sources) do
    local row, state, moved = source.row, source.pool.state, source.take + source.extra - source.credit
    local sums = { source.sums }
    for _, one in ipairs(keys and source.kind == 'h' and moved ~= 0 and walk_held(keys, state, source) or {}) do
      note_move(state, one.row, one.holder.id, one.units, one.row.planned, {})
    end
    if source.kind == 's' then
      if row.period == 0 then row.period = -at end -- it begins anew, and so may another: their slots are told apart
      local before = source.used
      state.slots[row.period] = before + moved
      row.over = row.over + math.max(0, before + moved - row.grant) - math.max(0, before - row.grant)
      row.used = row.used + moved
    elseif source.kind == 'c' or source.kind == 'e' then
      row.used = row.used + moved
      if source.kind == 'e' and sums[1] ~= row then sums[1].used = sums[1].used + moved end
    elseif source.kind == 'h' and row.unlimited then
      sums[1].sunk = sums[1].sunk + moved
    else
      sums[1].used, sums[1].over = sums[1].used + moved, sums[1].over + source.extra
      sums[1].credit = sums[1].credit + source.credit
    end
    if moved ~= 0 and row.line then
      state.moves = state.moves or {}
      local moves = state.moves
      moves[#moves + 1], moves[#moves + 2], moves[#moves + 3] = row.line, moved, row.due
    end
  end
  for at, pool in ipairs(not plan.sunk and plan.pools or {}) do
    local state, whole = pool.state, at == 1 and not (pool.rules and pool.rules.credits)
    local units = whole and applied or pool.drained
    for _, window in ipairs(pool.rules and units > 0 and pool.rules.windows or {}) do
      local place = window.scope .. '\t' .. window.key
      state.counted = state.counted or {}
      state.counted[place] = (state.counted[place] or 0) + units
    end
  end
end
