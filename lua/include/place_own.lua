--[[
Replace the rows of one feature held by one entity; same rules as place_rows.

place_own(keys, state, static, dues, lines): state of the entity level read with now 0. Raises state.counter.
]]
--@include parse_rows
--@include store_own
--@include format_held
local function place_own(keys, state, static, dues, lines)
  local owner, old, carried = state.entity, {}, 0
  if not state.held then
    state.counter = state.counter + 1
    state.held = {
      band = state.counter, granted = 0, used = 0, over = 0, credit = 0, rows = 0, unlimited = 0, sunk = 0,
    }
  end
  local before = own_totals(state.own, false)
  for _, row in ipairs(state.own) do old[row.id] = row end
  local blank = {}
  for _ in string.gmatch(static, '[^\n]+') do blank[#blank + 1] = '0 0 0 0 0 0' end
  local rows, kept = parse_rows(static, table.concat(blank, ' '), 0), {}
  for _, row in ipairs(rows) do kept[row.id] = true end
  for _, row in ipairs(state.own) do
    if not kept[row.id] then
      if string.find(row.flags, 'a', 1, true) then carried = carried + row.used end
      lines[#lines + 1] = string.format('G\t%s\t%s', state.feature, row.id)
    end
  end
  local due, text = string.gmatch(dues, '%d+'), string.gmatch(static, '[^\n]+')
  for _, row in ipairs(rows) do
    local first_due, line, was = tonumber(due()), text(), old[row.id]
    if was then
      row.used, row.period, row.due = was.used, was.period, was.due
    else
      state.counter = state.counter + 1
      row.period, row.due = state.counter, first_due
      if row.kind == 'c' and string.find(row.flags, 'a', 1, true) then
        row.used, carried = carried, 0
      end
      lines[#lines + 1] = string.format('B\t%s\t%s\t%d\t%d\t%d\t%s',
        state.feature, owner.id, row.used, row.period, row.due, line)
    end
  end
  local field = state.feature .. '\t' .. owner.id
  if static ~= '' then redis.call('HSET', keys.entities, 'h:' .. field, static) end
  store_own(keys, state, owner.id, owner.number, before, rows)
  redis.call('HSET', keys.customer, 'h:' .. state.feature, format_held(state.held))
end
