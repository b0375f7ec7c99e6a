--[[
Say what a customer-level decision moves of what entities hold themselves, rollovers or the rest of their rows:
first-created entity first, its rows in order. Only reads. O(1) for each entity that gives something, or was left
with nothing to give by an earlier walk. The sums say that there is enough; should the marks ever disagree with them,
the rest stays where it is rather than fail half way.

walk_held(keys, state, source) returns a list of moves {holder, row, units}, units > 0 consumed. Holders (id, number,
rows, before, before_rolled as store_own takes them) stay in holders of the state, their rows with what they will have
used under planned, so that another walk goes on from there.
]]
--@include first_member
--@include index_set
--@include own_totals
--@include parse_rows
local function walk_held(keys, state, source)
  local held, sink, moves = source.sums, source.row.unlimited, {}
  state.holders = state.holders or {}

  local function holder_of(entity, number)
    local known = state.holders[entity]
    if known then return known end
    local field = state.feature .. '\t' .. entity
    local texts = redis.call('HMGET', keys.entities, 'h:' .. field, 'v:' .. field)
    known = { id = entity, number = number, rows = parse_rows(texts[1], texts[2], 0) }
    known.before, known.before_rolled = own_totals(known.rows)
    for _, row in ipairs(known.rows) do row.planned = row.used end
    state.holders[entity] = known
    return known
  end

  local function move(holder, row, units)
    row.planned = row.planned + units
    moves[#moves + 1] = { holder = holder, row = row, units = units }
  end

  -- Lets the entities of a class give (sign 1) or get back (-1) what room(row) allows; returns the units left over.
  local function visit(class, left, sign, room)
    local from = 0
    while left > 0 do
      local entity, number = first_member(keys.index, index_set(held.band, class), nil, from)
      if not entity then return left end
      local holder = holder_of(entity, number)
      for _, row in ipairs(holder.rows) do
        local fits = row.kind == 'c' and row.rolled == source.row.rolled and not row.unlimited
        local units = fits and math.max(0, math.min(left, room(row))) or 0
        if units > 0 then move(holder, row, sign * units) end
        left = left - units
      end
      from = number + 1
    end
    return left
  end

  visit(0, source.take, 1, function(row) return row.grant - row.planned end)
  local below = source.extra
  if below < 0 and not sink then below = -visit(2, -below, -1, function(row) return row.planned - row.grant end) end
  visit(1, -source.take, -1, function(row) return row.planned end)
  local rest = below - source.credit
  if rest ~= 0 then -- the first entity that holds such a row
    local entity, number = first_member(keys.index, index_set(held.band, sink and 4 or 3), nil, 0)
    local holder = entity and holder_of(entity, number) or { rows = {} }
    for _, row in ipairs(holder.rows) do
      if rest ~= 0 and row.kind == 'c' and row.rolled == source.row.rolled and row.unlimited == sink then
        move(holder, row, rest)
        rest = 0
      end
    end
  end
  return moves
end
