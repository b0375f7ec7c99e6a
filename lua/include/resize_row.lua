--[[
Give a row another grant, in its text as well.

resize_row(row, grant) marks the row as changed and keeps what the sums still know under old_grant.
]]
local function resize_row(row, grant)
  local before, after = string.match(row.line, '^([^\t]*\t%a\t)%d+(\t.*)$')
  row.old_grant = row.old_grant or row.grant
  row.line, row.grant, row.changed = string.format('%s%d%s', before, grant, after), grant, true
end
