--[[
Turn what was read of one feature into the ordered list of sources a call may spend from (hot-path section 3.1, 3.2).

A source: kind c (customer row), e (own row), s (one slot), p (all slots of a row), h (held by entities); row; used;
avail (units above zero), over (units below zero), back (units that may be given back up to the grant), copies; sums
(used, over, credit of all that moves with it); pool; and what decide fills in.

list_sources(state, pool) returns the list, mixed when there are rollovers in it; pool is kept with each source.
]]
local function list_sources(state, pool)
  local sources, owner, mixed = {}, state.entity, false

  local function add(kind, row, used, grant, over, credit, copies, sums)
    mixed = mixed or row.rolled
    sources[#sources + 1] = {
      kind = kind, row = row, used = used, copies = copies, sums = sums, pool = pool,
      avail = grant - used + over, over = over, back = used + credit - over,
      take = 0, extra = 0, credit = 0, covers = 0, moved = 0, boundless = false,
    }
  end
  local function single(kind, row, used, sums)
    local left = row.grant - used
    add(kind, row, used, row.grant, left < 0 and -left or 0, used < 0 and -used or 0, 1, sums)
  end

  if owner then
    for _, row in ipairs(state.own) do
      if row.kind == 'c' and not row.gone then
        single('e', row, row.used, row.rolled and state.rolled or state.held or row)
      end
    end
    for _, row in ipairs(state.rows) do
      if row.kind == 'p' and not row.gone and row.entity_feature == owner.feature then
        single('s', row, state.slots[row.period] or 0, row)
      end
    end
    if #sources > 1 then
      table.sort(sources, function(one, other) return one.row.rank < other.row.rank end)
    end
    if pool.alone then return sources end
  end
  for _, row in ipairs(state.rows) do
    if row.kind == 'c' and not row.gone then single('c', row, row.used, row) end
  end
  if owner then
    sources.mixed = mixed
    return sources
  end
  for _, row in ipairs(state.rows) do
    if row.kind == 'p' and not row.gone and row.copies > 0 then
      add('p', row, row.used, row.grant * row.copies, row.over, row.credit, row.copies, row)
    end
  end
  for _, sums in ipairs({ state.rolled or false, state.held or false }) do
    if sums and sums.rows > 0 then
      local row = { unlimited = sums.unlimited > 0 or nil, rolled = sums == state.rolled or nil, flags = '' }
      add('h', row, sums.used, sums.granted, sums.over, sums.credit, 1, sums)
    end
  end
  sources.mixed = mixed
  return sources
end
