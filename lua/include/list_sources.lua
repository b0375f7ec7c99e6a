--[[
Turn what was read of one feature into the ordered list of sources a call may spend from (hot-path section 3.1, 3.2).

A source: kind c (customer row), e (own row), s (one slot), p (all slots of a row), h (held by entities); row; used;
avail (units above zero), over (units below zero), back (units that may be given back up to the grant), copies; sums
(used, over, credit of all that moves with it); pool; and what decide fills in.

list_sources(state, pool) returns the list, mixed when there are rollovers in it; pool is kept with each source. A state
that is lone, read at customer level for an entity that has gone, has the customer's own rows alone.
]]
--@include add_source
local function list_sources(state, pool)
  local sources, owner = {}, state.entity
  if owner then
    for _, row in ipairs(state.own) do
      if row.kind == 'c' and not row.gone then
        add_source(sources, pool, 'e', row, row.rolled and state.rolled or state.held or row, row.used)
      end
    end
    for _, row in ipairs(state.rows) do
      if row.kind == 'p' and not row.gone and row.entity_feature == owner.feature then
        add_source(sources, pool, 's', row, row, state.slots[row.period] or 0)
      end
    end
    if #sources > 1 then
      table.sort(sources, function(one, other) return one.row.rank < other.row.rank end)
    end
  end
  if pool.alone then return sources end
  for _, row in ipairs(state.rows) do
    if row.kind == 'c' and not row.gone then add_source(sources, pool, 'c', row, row, row.used) end
  end
  if owner or state.lone then return sources end
  for _, row in ipairs(state.rows) do
    if row.kind == 'p' and not row.gone and row.copies > 0 then
      add_source(sources, pool, 'p', row, row, row.used, row.grant * row.copies, row.over, row.credit, row.copies)
    end
  end
  for at = 1, (state.held or state.rolled) and 2 or 0 do
    local sums = at == 1 and state.rolled or at == 2 and state.held
    if sums and sums.rows > 0 then
      local row = { unlimited = sums.unlimited > 0 or nil, rolled = at == 1 or nil, flags = '' }
      add_source(sources, pool, 'h', row, sums, sums.used, sums.granted, sums.over, sums.credit)
    end
  end
  return sources
end
