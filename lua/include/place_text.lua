--[[
Replace the rows of one feature in one scope by those of a new text. Rows that stay keep their live numbers, rows that
begin get a period, of rows that end what was used moves on (carry_usage, move_carried), and so do their rollovers.

place_text(keys, state, before, static, dues, owner, seats, lines, carries): before has the rows that were there; owner
is '' for those of the customer; seats are the units of continuous use that its rows count together at the least, or
false; the rest as place_rows. Rows that end and are named in state.resting rest there (rest_row). Returns the rows,
their text, those that were there by id, the list of those that ended, and what is left to be used of slots
(move_carried). Raises state.counter.
]]
--@include parse_rows
--@include carry_usage
--@include leave_rest
--@include move_carried
--@include note_move
--@include note_text
--@include end_row
--@include rest_row
--@include return_row
--@include adopt_rollovers
local function place_text(keys, state, before, static, dues, owner, seats, lines, carries)
  local old, blank, kept, ended, carried = {}, {}, {}, {}, 0
  for _, row in ipairs(before) do old[row.id] = row end
  static, dues = leave_rest(static, dues, old, carries)
  for _ in string.gmatch(static, '[^\n]+') do blank[#blank + 1] = '0 0 0 0 0 0' end
  local rows, due = parse_rows(static, table.concat(blank, ' '), 0), string.gmatch(dues, '%S+')
  for _, row in ipairs(rows) do
    local first_due, was = due(), old[row.id]
    kept[row.id] = row
    if was then
      for _, name in ipairs({ 'used', 'over', 'credit', 'period', 'due', 'first' }) do row[name] = was[name] end
      note_text(state, row, owner, was, first_due, lines)
    else
      state.counter = state.counter + 1
      row.period, row.due = state.counter, tonumber(string.match(first_due, '^%d+'))
      local period, used = string.match(first_due, ':(%d+):(.*)$')
      if period then return_row(row, period, used, seats) end
    end
  end
  for _, row in ipairs(before) do
    local heir = carries[row.id] and kept[carries[row.id].heir] -- of what slots used, if it is not slots again
    local one = row.kind == 'c' or heir and heir.kind == 'c'
    local used = one and string.find(row.flags, 'a', 1, true) and row.used or 0
    if kept[row.id] then
      seats = seats and seats - used
    else
      carried = carried + used
      ended[#ended + 1] = row
      if state.resting and state.resting[row.id] ~= nil then
        state.resting[row.id] = rest_row(keys, state, row, carries[row.id])
      end
      end_row(keys, state.feature, row, lines)
    end
  end
  carry_usage(rows, seats and math.max(carried, seats) or carried)
  local of_slots = move_carried(rows, old, ended, carries)
  rows, static = adopt_rollovers(keys, state, rows, old, owner, lines)
  for _, row in ipairs(rows) do
    if not old[row.id] then
      lines[#lines + 1] = string.format('B\t%s\t%s\t%d\t%d\t%d\t%s',
        state.feature, owner, row.used, row.period, row.due, row.line)
    elseif row.carried ~= 0 then
      note_move(state, row, owner, row.carried, row.used, lines)
    end
  end
  return rows, static, old, ended, of_slots
end
