--[[
Prepare what slots used beyond their grant as the first use of their next period, where that outlives the reset (flag
k): first-created entities first, a bounded number a call. Nothing of it counts until begin_slots begins that period, so
a customer that is lost meanwhile comes back with the old one; when rows, slots or entities have changed meanwhile (rev)
it begins anew.

carry_slots(keys, state, row, limit): state of the customer level, row as parse_rows left it. Field y:<row> of the
customer has 'rev period from used over credit first pages', and y:<row>, tab, page the outbox lines of each page.
Returns how many slots were done; fewer than limit: none is left. Raises the counter.
]]
--@include drop_carry
--@include first_member
--@include index_set
--@include move_slot
--@include parse_pairs
local function carry_slots(keys, state, row, limit)
  local place, lines = 'y:' .. row.id, {}
  local over_grant, rev = index_set(row.old_period, 2), redis.call('HGET', keys.customer, 'rev')
  local known = redis.call('HGET', keys.customer, place)
  if known and string.match(known, '^%d+') ~= rev then
    drop_carry(keys, row.id)
    known = nil
  end
  if not known then
    state.counter = state.counter + 1
    redis.call('HSET', keys.customer, 'counter', string.format('%d', state.counter))
    known = string.format('%s %d 0 0 0 0 0 0', rev, state.counter)
  end
  local period, from, used, over, credit, first, pages = string.match(
    known, '^%d+ (%d+) (%d+) (%-?%d+) (%d+) (%d+) (%d+) (%d+)$')
  local slot = {
    id = row.id, line = row.line, kind = 'p', grant = row.grant, floor = row.floor, due = row.due,
    period = tonumber(period), used = tonumber(used), over = tonumber(over), credit = tonumber(credit),
    first = tonumber(first),
  }
  local entity, number = first_member(keys.index, over_grant, nil, from)
  if not entity then return 0 end

  -- A slot's text keeps the periods of these rows: old ones of rows that are due, and prepared ones.
  local to, rows = { feature = state.feature, rows = {} }, state.rows
  for _, other in ipairs(rows) do
    local prepared = other.kind == 'p' and redis.call('HGET', keys.customer, 'y:' .. other.id)
    to.rows[#to.rows + 1] = { kind = other.kind, period = other.fresh and other.old_period or other.period }
    if prepared and other ~= row then
      to.rows[#to.rows + 1] = { kind = 'p', period = tonumber(string.match(prepared, '^%d+ (%d+)')) }
    end
  end
  local done = 0
  while entity and done < limit do
    local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. entity))
    move_slot(keys, to, slot, { id = entity, number = number }, slots, slots[row.old_period] - row.grant, lines)
    done, from = done + 1, number + 1
    entity, number = first_member(keys.index, over_grant, nil, from)
  end
  pages = tonumber(pages) + 1
  redis.call('HSET', keys.customer, string.format('%s\t%d', place, pages), table.concat(lines, '\n'), place,
    string.format('%s %s %d %d %d %d %d %d', rev, period, from, slot.used, slot.over, slot.credit, slot.first, pages))
  return done
end
