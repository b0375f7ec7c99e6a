--[[
Carry out a decision in memory only, so that the states show what there would be after it.

preview_plan(plan) returns moves as note_move collects them: triples of row line, units moved, next reset. What rows
held by entities would give is one move without a line of its own.
]]
local function preview_plan(plan)
  for _, source in ipairs(plan.sources) do
    local row, state, moved = source.row, source.pool.state, source.take + source.extra - source.credit
    local sums = { source.sums }
    if source.kind == 's' then
      local before = source.used
      state.slots[row.period] = before + moved
      row.over = row.over + math.max(0, before + moved - row.grant) - math.max(0, before - row.grant)
      row.used = row.used + moved
    elseif source.kind == 'c' or source.kind == 'e' then
      row.used = row.used + moved
      if source.kind == 'e' and sums[1] ~= row then sums[1].used = sums[1].used + moved end
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
end
