--[[
The text of rows as they are in memory.

join_lines(rows) returns their lines, joined.
]]
local function join_lines(rows)
  local lines = {}
  for at, row in ipairs(rows) do lines[at] = row.line end
  return table.concat(lines, '\n')
end
