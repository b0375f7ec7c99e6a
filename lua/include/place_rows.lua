--[[
Replace the rows of one feature held by the customer. Rows that stay keep their live numbers, rows that go take theirs
with them, and usage of continuous use moves on to the first new row of it: what the rows that go had used, or, where
the feature had no row at all, the entities of the feature (hot-path section 4.1, cold-path section 3.5).

place_rows(keys, state, static, dues, unit, lines): state of the customer level read with now 0; static the new text;
dues the first reset of each row in order; unit what one entity counts for. Raises state.counter.
]]
--@include parse_rows
--@include score_base
--@include format_live
local function place_rows(keys, state, static, dues, unit, lines)
  local old, carried, had = {}, 0, false
  for _, row in ipairs(state.rows) do
    old[row.id] = row
    if string.find(row.flags, 'a', 1, true) then had = true end
  end
  local blank = {}
  for _ in string.gmatch(static, '[^\n]+') do blank[#blank + 1] = '0 0 0 0 0 0' end
  local rows, kept = parse_rows(static, table.concat(blank, ' '), 0), {}
  for _, row in ipairs(rows) do kept[row.id] = true end
  for _, row in ipairs(state.rows) do
    if not kept[row.id] then
      if string.find(row.flags, 'a', 1, true) then carried = carried + row.used end
      if row.kind == 'p' then
        redis.call('ZREMRANGEBYSCORE', keys.marks, string.format('%d', score_base(row.period, 0)),
          string.format('%d', score_base(row.period + 1, 0) - 1))
      end
      lines[#lines + 1] = string.format('G\t%s\t%s', state.feature, row.id)
    end
  end
  if not had then
    local counted = redis.call('HGET', keys.customer, 'n:' .. state.feature)
    if counted then carried = tonumber(string.match(counted, ' (%d+)$')) * unit end
  end
  local due = string.gmatch(dues, '%d+')
  local text = string.gmatch(static, '[^\n]+')
  for _, row in ipairs(rows) do
    local first_due, line, was = tonumber(due()), text(), old[row.id]
    if was then
      for _, name in ipairs({ 'used', 'over', 'credit', 'period', 'due', 'first' }) do row[name] = was[name] end
    else
      state.counter = state.counter + 1
      row.period, row.due = state.counter, first_due
      if row.kind == 'c' and string.find(row.flags, 'a', 1, true) then
        row.used, carried = carried, 0
      end
      lines[#lines + 1] = string.format('B\t%s\t\t%d\t%d\t%d\t%s', state.feature, row.used, row.period, row.due, line)
    end
  end
  -- Without rows the field stays, empty: slots of rows that went are found by it when their entity is deleted.
  redis.call('HSET', keys.customer, 'r:' .. state.feature, static, 'v:' .. state.feature, format_live(rows))
end
