--[[
Give entities what they had of a per-entity row that comes back, as far as they are still there: what was used of their
slots, and what had rolled over of those.

return_slots(keys, state, row, lines): state.rows are the rows as they are now; row.slots and row.rollovers as
return_row left them. Raises state.counter, and writes the sums over what entities hold.
]]
--@include entity_at
--@include move_slot
--@include own_totals
--@include parse_pairs
--@include parse_rows
--@include store_own
--@include sum_fields
local function return_slots(keys, state, row, lines)
  for number, units in string.gmatch(row.slots, '(%d+)=(%-?%d+)') do
    number = tonumber(number)
    local entity = entity_at(keys.index, number)
    if entity then
      local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. entity))
      move_slot(keys, state, row, { id = entity, number = number }, slots, tonumber(units), lines)
    end
  end
  for number, units, line in string.gmatch(row.rollovers, '\30(%d+)=(%-?%d+)=([^\30]*)') do
    number = tonumber(number)
    local entity = entity_at(keys.index, number)
    if entity then
      local field, texts = state.feature .. '\t' .. entity, {}
      local stored = redis.call('HMGET', keys.entities, 'h:' .. field, 'v:' .. field)
      local rows = parse_rows(stored[1], stored[2], 0)
      local before, before_rolled = own_totals(rows)
      local back = parse_rows(string.gsub(line, '\31', '\t'), units .. ' 0 0 0 0 0', 0)[1]
      state.counter = state.counter + 1
      back.period, rows[#rows + 1] = state.counter, back
      table.sort(rows, function(one, other) return one.rank < other.rank end)
      for place, one in ipairs(rows) do texts[place] = one.line end
      redis.call('HSET', keys.entities, 'h:' .. field, table.concat(texts, '\n'))
      store_own(keys, state, entity, number, before, before_rolled, rows)
      lines[#lines + 1] = string.format('B\t%s\t%s\t%d\t%d\t0\t%s',
        state.feature, entity, back.used, back.period, back.line)
    end
  end
  if row.rollovers ~= '' then
    local fields = {}
    sum_fields(state, fields)
    if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  end
end
