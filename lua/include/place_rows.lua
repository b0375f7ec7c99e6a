--[[
Replace the rows of one feature held by the customer. Rows that stay keep their live numbers. Usage of continuous use
does not end with the row it was counted on: of a shared row it moves on to the rows that stay or come, of a
per-entity row each slot moves on to the new per-entity row of the same entities, and so does what rolled over of it.
Entities that no row has counted yet count now, each once whatever the number of rows (hot-path section 4.1, cold-path
section 3.5).

place_rows(keys, state, static, dues, unit, lines, carries): state of the customer level read with now 0; static the new
text; dues the first reset of each row in order (of one that stays, as note_text); unit what one entity counts for;
carries says what moves on beside that (leave_rest), {} for nothing. Raises state.counter, and returns what is left to
be used of slots, as move_carried.
]]
--@include parse_rows
--@include drop_marks
--@include format_live
--@include carry_usage
--@include leave_rest
--@include move_carried
--@include note_move
--@include note_text
--@include end_row
--@include inherit_slots
--@include adopt_rollovers
--@include hand_rollovers
local function place_rows(keys, state, static, dues, unit, lines, carries)
  local old, blank = {}, {}
  for _, row in ipairs(state.rows) do old[row.id] = row end
  static, dues = leave_rest(static, dues, old, carries)
  for _ in string.gmatch(static, '[^\n]+') do blank[#blank + 1] = '0 0 0 0 0 0' end
  local rows, kept = parse_rows(static, table.concat(blank, ' '), 0), {}
  local due = string.gmatch(dues, '%S+')
  for _, row in ipairs(rows) do
    local first_due, was = due(), old[row.id]
    kept[row.id] = true
    if was then
      for _, name in ipairs({ 'used', 'over', 'credit', 'period', 'due', 'first' }) do row[name] = was[name] end
      note_text(state, row, '', was, first_due, lines)
    else
      state.counter = state.counter + 1
      row.period, row.due = state.counter, tonumber(first_due)
    end
  end

  local held, rolled = state.held, state.rolled
  local counted = (held and held.used + held.sunk or 0) + (rolled and rolled.used or 0)
  local ended, carried = {}, 0
  for _, row in ipairs(state.rows) do
    local allocated = row.kind == 'c' and string.find(row.flags, 'a', 1, true)
    if kept[row.id] then
      if allocated then counted = counted + row.used end
    else
      if allocated then carried = carried + row.used end
      ended[#ended + 1] = row
      end_row(keys, state.feature, row, lines)
    end
  end
  local band_count = redis.call('HGET', keys.customer, 'n:' .. state.feature) or '0 0'
  local entities = tonumber(string.match(band_count, ' (%d+)$'))
  if entities > 0 then carried = math.max(carried, entities * unit - counted) end
  carry_usage(rows, carried)
  local of_slots = move_carried(rows, old, ended, carries)
  rows, static = adopt_rollovers(keys, state, rows, old, '', lines)

  for _, row in ipairs(rows) do
    if not old[row.id] then
      lines[#lines + 1] = string.format('B\t%s\t\t%d\t%d\t%d\t%s',
        state.feature, row.used, row.period, row.due, row.line)
    elseif row.carried ~= 0 then
      note_move(state, row, '', row.carried, row.used, lines)
    end
  end
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
      hand_rollovers(keys, state, gone, next_one, lines)
      drop_marks(keys.index, gone.period)
    end
  end
  state.rows = rows
  -- Without rows the field stays, empty: slots of rows that went are found by it when their entity is deleted.
  redis.call('HSET', keys.customer, 'r:' .. state.feature, static, 'v:' .. state.feature, format_live(rows))
  return of_slots
end
