--[[
Make rollovers of what the slots of a per-entity row have left at its reset: each becomes a row the entity holds itself
(hot-path section 5). First-created entities first, a bounded number a call; begin_slots begins the new period.

roll_slots(keys, state, row, now_ms, limit, lines): state of the customer level, row as parse_rows left it. The place to
go on from is field z:<row> of the customer. Returns how many entities were done; fewer than limit: none is left.
]]
--@include first_member
--@include index_set
--@include read_feature
--@include roll_over
--@include renew_rows
--@include store_own
--@include own_totals
local function roll_slots(keys, state, row, now, limit, lines)
  if row.roll == '' then return 0 end
  local all, place, count = index_set(row.band, 0), 'z:' .. row.id, 0
  local from = tonumber(redis.call('HGET', keys.customer, place) or '0')
  local entity, number = first_member(keys.index, all, nil, from)
  while entity and count < limit do
    local of = read_feature(keys, state.feature, entity, 0)
    local born = tonumber(string.match(redis.call('HGET', keys.entities, 'e:' .. entity), '"created_at":(%d+)') or '0')
    local done = born >= row.old_due -- it came with the new period, or an earlier call did it
    local tail = string.format('~%d', number)
    for _, own in ipairs(of.own) do
      done = done or own.id == string.format('%s~%d%s', row.id, row.old_period, tail)
    end
    if not done then
      of.counter, of.held, of.rolled = state.counter, state.held, state.rolled
      local before, before_rolled = own_totals(of.own)
      local slot = {
        kind = 'c', fresh = true, old_used = of.slots[row.old_period] or 0, id = row.id, line = row.line, due = row.due,
        grant = row.grant, roll = row.roll, rank = row.rank, old_period = row.old_period, old_due = row.old_due,
        tail = tail, unlimited = row.unlimited,
      }
      of.own[#of.own + 1] = slot
      local rows = {}
      rows.renew = true
      for _, own in ipairs(roll_over(of.own, now)) do
        if own ~= slot then rows[#rows + 1] = own end
      end
      if #rows > 0 then
        rows = renew_rows(keys, of, rows, entity, lines)
        store_own(keys, of, entity, number, before, before_rolled, rows)
      end
      state.counter, state.held, state.rolled = of.counter, of.held, of.rolled
    end
    count, from = count + 1, number + 1
    entity, number = first_member(keys.index, all, nil, from)
  end
  if count > 0 then redis.call('HSET', keys.customer, place, string.format('%d', from)) end
  return count
end
