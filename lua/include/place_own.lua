--[[
Replace the rows of one feature held by one entity; same rules as place_rows.

place_own(keys, state, static, dues, lines, carries): state of the entity level read with now 0. Raises state.counter.
]]
--@include parse_rows
--@include store_own
--@include sum_fields
--@include carry_usage
--@include leave_rest
--@include move_carried
--@include note_move
--@include note_text
--@include end_row
--@include adopt_rollovers
--@include own_totals
local function place_own(keys, state, static, dues, lines, carries)
  local owner, old, carried, ended = state.entity, {}, 0, {}
  local before, before_rolled = own_totals(state.own)
  local blank, fields = {}, {}
  for _, row in ipairs(state.own) do old[row.id] = row end
  static, dues = leave_rest(static, dues, old, carries)
  for _ in string.gmatch(static, '[^\n]+') do blank[#blank + 1] = '0 0 0 0 0 0' end
  local rows, kept = parse_rows(static, table.concat(blank, ' '), 0), {}
  local due = string.gmatch(dues, '%S+')
  for _, row in ipairs(rows) do
    local first_due, was = due(), old[row.id]
    kept[row.id] = true
    if was then
      row.used, row.period, row.due = was.used, was.period, was.due
      note_text(state, row, owner.id, was, first_due, lines)
    else
      state.counter = state.counter + 1
      row.period, row.due = state.counter, tonumber(first_due)
    end
  end
  for _, row in ipairs(state.own) do
    if not kept[row.id] then
      if string.find(row.flags, 'a', 1, true) then carried = carried + row.used end
      ended[#ended + 1] = row
      end_row(keys, state.feature, row, lines)
    end
  end
  carry_usage(rows, carried)
  move_carried(rows, old, ended, carries)
  rows, static = adopt_rollovers(keys, state, rows, old, owner.id, lines)
  for _, row in ipairs(rows) do
    if not old[row.id] then
      lines[#lines + 1] = string.format('B\t%s\t%s\t%d\t%d\t%d\t%s',
        state.feature, owner.id, row.used, row.period, row.due, row.line)
    elseif row.carried ~= 0 then
      note_move(state, row, owner.id, row.carried, row.used, lines)
    end
  end
  local field = state.feature .. '\t' .. owner.id
  if static ~= '' then redis.call('HSET', keys.entities, 'h:' .. field, static) end
  store_own(keys, state, owner.id, owner.number, before, before_rolled, rows)
  sum_fields(state, fields)
  if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
end
