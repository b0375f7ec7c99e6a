--[[
Hand the rollovers that entities hold of a per-entity row that ends to the row that takes its place, within the maximum
of that one (hot-path section 5); without such a row they end too. A row that rolls nothing over is none (cold-path
section 3.5). One read and write for each entity that holds some.

hand_rollovers(keys, state, gone, heir, lines): state of the customer level; heir may be nil. Writes the sums over what
entities hold.
]]
--@include adopt_rollovers
--@include first_member
--@include index_set
--@include own_totals
--@include parse_rows
--@include store_own
--@include sum_fields
--@include trim_rollovers
local function hand_rollovers(keys, state, gone, heir, lines)
  if not state.rolled then return end
  local holders, fields = index_set(state.rolled.band, 3), {}
  local entity, number = first_member(keys.index, holders, nil, 0)
  while entity do
    local field = state.feature .. '\t' .. entity
    local texts = redis.call('HMGET', keys.entities, 'h:' .. field, 'v:' .. field)
    if string.find(texts[1], string.format('\t%s\t', gone.id), 1, true) then
      local rows, old = parse_rows(texts[1], texts[2], 0), {}
      local before, before_rolled = own_totals(rows)
      for _, row in ipairs(rows) do
        old[row.id] = row
        if row.rolled and row.roll == gone.id then
          local head, tail = string.match(row.line, '^(.*\t)[^\t]*(\t[^\t]*)$')
          row.gone, row.changed = not heir or nil, true
          if heir then row.roll, row.line = heir.id, head .. heir.id .. tail end
        end
      end
      if heir then trim_rollovers(rows, heir) end
      local stay, static = adopt_rollovers(keys, state, rows, old, entity, lines)
      if static ~= '' then redis.call('HSET', keys.entities, 'h:' .. field, static) end
      store_own(keys, state, entity, number, before, before_rolled, stay)
    end
    entity, number = first_member(keys.index, holders, nil, number + 1)
  end
  sum_fields(state, fields)
  redis.call('HSET', keys.customer, unpack(fields))
end
