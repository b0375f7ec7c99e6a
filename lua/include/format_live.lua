--[[
Write the live numbers of rows as text, six integers a row (gateway/rows.py).

format_live(rows) returns the text.
]]
local function format_live(rows)
  local parts = {}
  for at = 1, #rows do
    local row = rows[at]
    parts[at] = string.format('%d %d %d %d %d %d', row.used, row.over, row.credit, row.period, row.due, row.first)
  end
  return table.concat(parts, ' ')
end
