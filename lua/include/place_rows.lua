--[[
Replace the rows of one feature held by the customer. Rows that stay keep their live numbers. Usage of continuous use
does not end with the row it was counted on: of a shared row it moves on to the rows that stay or come, of a
per-entity row each slot moves on to the new per-entity row of the same entities, and so does what rolled over of it;
where carries name a row of the other kind it moves on to that.
Entities that no row has counted yet count now, each once whatever the number of rows (hot-path section 4.1, cold-path
section 3.5).

place_rows(keys, state, static, dues, unit, lines, carries): state of the customer level read with now 0; static the new
text; dues the first reset of each row in order (of one that stays, as note_text; of one that comes back reset, colon,
period, colon and number=units, return_row); unit what one entity counts for;
carries says what moves on beside that (leave_rest), {} for nothing. Raises state.counter, and returns what is left to
be used of slots, as move_carried.
]]
--@include place_text
--@include drop_marks
--@include format_live
--@include inherit_slots
--@include hand_rollovers
--@include return_slots
local function place_rows(keys, state, static, dues, unit, lines, carries)
  local held, rolled = state.held, state.rolled
  local counted = (held and held.used + held.sunk or 0) + (rolled and rolled.used or 0)
  local band_count = redis.call('HGET', keys.customer, 'n:' .. state.feature) or '0 0'
  local entities = tonumber(string.match(band_count, ' (%d+)$'))
  local seats = entities > 0 and entities * unit - counted
  local rows, text, old, ended, of_slots = place_text(
    keys, state, state.rows, static, dues, '', seats, lines, carries)
  for place, gone in ipairs(ended) do
    state.rows = { unpack(rows) } -- and those whose slots still wait to be moved
    for later = place + 1, #ended do state.rows[#state.rows + 1] = ended[later] end
    if gone.kind == 'p' then
      local lasts, heir, next_one = string.find(gone.flags, 'a', 1, true), nil, nil
      for _, row in ipairs(rows) do
        if row.kind == 'p' and not old[row.id] and row.entity_feature == gone.entity_feature then
          if row.roll ~= '' then next_one = next_one or row end
          local named = carries[gone.id] and carries[gone.id].heir == row.id
          if named or lasts and string.find(row.flags, 'a', 1, true) then heir = heir or row end
        end
      end
      if heir then inherit_slots(keys, state, gone, heir, lines) end
      local rests = state.resting and state.resting[gone.id] -- and so does what it has rolled over
      hand_rollovers(keys, state, gone, not rests and next_one or nil, lines)
      drop_marks(keys.index, gone.period)
    end
  end
  state.rows = rows
  for _, row in ipairs(rows) do
    if row.slots then return_slots(keys, state, row, lines) end
  end
  -- Without rows the field stays, empty: slots of rows that went are found by it when their entity is deleted.
  redis.call('HSET', keys.customer, 'r:' .. state.feature, text, 'v:' .. state.feature, format_live(rows))
  return of_slots
end
