--[[
Turn what was read into the ordered list of sources a call may spend from (hot-path section 3.1 and 3.2).

Customer level: the customer's rows, then per-entity rows, then what entities hold themselves.
Entity level: the entity's own rows and its slots by rank, then the customer's rows.

A source: kind c (customer row), e (own row), s (one slot), p (all slots of a row), h (held by entities); row; used;
avail (units above zero), over (units below zero), back (units that may be given back up to the grant), copies; band
(of the entities' order, kind p); sums (used, over, credit of all that moves with it); and take, extra, credit, which
decide fills in.

list_sources(state) returns the list.
]]
local function list_sources(state)
  local sources, owner = {}, state.entity

  local function add(kind, row, used, grant, over, credit, copies, sums, band)
    sources[#sources + 1] = {
      kind = kind, row = row, used = used, copies = copies, sums = sums, band = band, unlimited = row.unlimited,
      avail = grant - used + over, over = over, back = used + credit - over,
      take = 0, extra = 0, credit = 0, boundless = false,
    }
  end
  local function single(kind, row, used)
    local left = row.grant - used
    local sums = kind == 'e' and state.held or row
    add(kind, row, used, row.grant, left < 0 and -left or 0, used < 0 and -used or 0, 1, sums)
  end

  if owner then
    for _, row in ipairs(state.own) do
      if row.kind == 'c' and not row.gone then single('e', row, row.used) end
    end
    for _, row in ipairs(state.rows) do
      if row.kind == 'p' and not row.gone and row.entity_feature == owner.feature then
        single('s', row, state.slots[row.period] or 0)
      end
    end
    if #sources > 1 then
      table.sort(sources, function(one, other) return one.row.rank < other.row.rank end)
    end
  end
  for _, row in ipairs(state.rows) do
    if row.kind == 'c' and not row.gone then single('c', row, row.used) end
  end
  if owner then return sources end
  for at, row in ipairs(state.rows) do
    local copies = state.counts[at]
    if row.kind == 'p' and not row.gone and copies > 0 then
      add('p', row, row.used, row.grant * copies, row.over, row.credit, copies, row, state.bands[at])
    end
  end
  local held = state.held
  if held and held.rows > 0 then
    add('h', { unlimited = held.unlimited > 0, flags = '' }, held.used, held.granted, held.over, held.credit, 1,
      held)
  end
  return sources
end
