--[[
Write the live numbers of rows as text, six integers a row (gateway/rows.py).

format_live(rows) returns the text.
]]
local function format_live(rows)
  local parts = {}
  for at = 1, #rows do
    local row = rows[at]
    if row.over == 0 and row.credit == 0 and row.first == 0 then -- as of most rows
      parts[at] = string.format('%d 0 0 %d %d 0', row.used, row.period, row.due)
    else
      parts[at] = string.format('%d %d %d %d %d %d', row.used, row.over, row.credit, row.period, row.due, row.first)
    end
  end
  return table.concat(parts, ' ')
end
