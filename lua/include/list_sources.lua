--[[
Turn what was read into the ordered list of sources a call may spend from (hot-path section 3.1 and 3.2).

Customer level: the customer's rows, then per-entity rows, then what entities hold themselves.
Entity level: the entity's own rows and its slots by rank, then the customer's rows.

A source: kind c (customer row), e (own row), s (one slot), p (all slots of a row), h (held by entities); row; used;
avail (units above zero), over (units below zero), back (units that may be given back up to the grant), copies.

list_sources(state) returns the list.
]]
local function list_sources(state)
  local sources = {}

  local function add(kind, row, used, grant, over, credit, copies)
    local left = grant - used
    sources[#sources + 1] = {
      kind = kind, row = row, used = used, copies = copies,
      avail = left + over, over = over, back = used + credit - over, unlimited = row.unlimited,
    }
  end
  local function scalar(kind, row, used)
    local left = row.grant - used
    add(kind, row, used, row.grant, left < 0 and -left or 0, used < 0 and -used or 0, 1)
  end

  local shared, each = {}, {}
  for at, row in ipairs(state.rows) do
    if not row.gone then
      if row.kind == 'c' then shared[#shared + 1] = row end
      if row.kind == 'p' then each[#each + 1] = at end
    end
  end
  if not state.entity then
    for _, row in ipairs(shared) do scalar('c', row, row.used) end
    for _, at in ipairs(each) do
      local row, copies = state.rows[at], state.counts[at]
      if copies > 0 then
        add('p', row, row.used, row.grant * copies, row.over, row.credit, copies)
        sources[#sources].band = state.bands[at]
      end
    end
    local held = state.held
    if held and held.rows > 0 then
      add('h', { unlimited = held.unlimited > 0, flags = '' }, held.used, held.granted, held.over, held.credit, 1)
    end
    return sources
  end
  for _, row in ipairs(state.own) do
    if row.kind == 'c' and not row.gone then scalar('e', row, row.used) end
  end
  for _, at in ipairs(each) do
    local row = state.rows[at]
    if row.entity_feature == state.entity.feature then scalar('s', row, state.slots[row.period] or 0) end
  end
  if #sources > 1 then
    table.sort(sources, function(one, other) return one.row.rank < other.row.rank end)
  end
  for _, row in ipairs(shared) do scalar('c', row, row.used) end
  return sources
end
