--[[
Let a row that resets include again what it did before that was set by hand (hot-path section 5): the document says how
much that is, where there is a difference. What was bought beside it stays.

replan_row(row) marks the row as changed, as resize_row does.
]]
--@include resize_row
local function replan_row(row)
  local head, document = string.match(row.line, '^(.*\t)([^\t]*)$')
  local planned = string.match(document, '"planned":(%d+)')
  if not planned then return end
  document = string.gsub(document, '"included":%d+,("planned":)', '%1') -- which follows it, and 0 is left out
  if planned == '0' then
    document = string.gsub(string.gsub(document, ',"planned":0', ''), '"planned":0,?', '')
  else
    document = string.gsub(document, '"planned":', '"included":')
  end
  row.line = head .. document
  resize_row(row, tonumber(planned) + tonumber(string.match(document, '"prepaid":(%d+)') or '0'))
end
