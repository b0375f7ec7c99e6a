--[[
Make changes of the rows themselves real: rows that have expired or have nothing left of what rolled over end, new
rollovers begin, cut ones get their new text. Whoever decides on rows decides again (rev).

renew_rows(keys, state, rows, entity, lines): entity '' for the customer's rows. Raises state.counter, and returns the
rows that stay.
]]
--@include drop_marks
--@include end_row
local function renew_rows(keys, state, rows, entity, lines)
  if not rows.renew then return rows end
  local stay, texts = {}, {}
  for _, row in ipairs(rows) do
    if not row.gone then
      if row.made then
        state.counter = state.counter + 1
        row.period = state.counter
        lines[#lines + 1] = string.format('B\t%s\t%s\t%d\t%d\t%d\t%s',
          state.feature, entity, row.used, row.period, row.due, row.line)
      elseif row.changed then
        lines[#lines + 1] = string.format('U\t%s\t%s\t%d\t%s', state.feature, entity, row.due, row.line)
      end
      stay[#stay + 1], texts[#texts + 1] = row, row.line
    elseif not row.made then
      if row.kind == 'p' then drop_marks(keys.index, row.old_period or row.period) end
      end_row(keys, state.feature, row, lines)
    end
  end
  local text = table.concat(texts, '\n')
  redis.call('HINCRBY', keys.customer, 'rev', 1)
  if entity == '' then
    state.static, state.changed = text, true
    redis.call('HSET', keys.customer, 'r:' .. state.feature, text)
  else
    state.own_static = text
    redis.call('HSET', keys.entities, 'h:' .. state.feature .. '\t' .. entity, text)
  end
  return stay
end
