--[[
Let new rows take over the rollovers that name them, within their own maximum (hot-path section 5).

adopt_rollovers(keys, state, rows, old, entity, lines): old has the rows that were there, by id; entity '' for the
customer's rows. Returns the rows that stay and their text.
]]
--@include trim_rollovers
--@include end_row
local function adopt_rollovers(keys, state, rows, old, entity, lines)
  for _, row in ipairs(rows) do
    if not old[row.id] and row.roll ~= '' and not row.rolled then trim_rollovers(rows, row) end
  end
  local stay, texts = {}, {}
  for _, row in ipairs(rows) do
    if row.gone then
      end_row(keys, state.feature, row, lines)
    else
      if row.changed then
        lines[#lines + 1] = string.format('U\t%s\t%s\t%d\t%s', state.feature, entity, row.due, row.line)
      end
      stay[#stay + 1], texts[#texts + 1] = row, row.line
    end
  end
  return stay, table.concat(texts, '\n')
end
