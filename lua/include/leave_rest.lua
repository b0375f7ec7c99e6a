--[[
Keep what is left of rows that end, as rows of their own (cold-path section 3.5): each rest stands in the new text
already and gets its grant here, or is left out when nothing is left. Pure.

leave_rest(static, dues, old, carries): old has the rows that were there, by id; carries by the id of a row that ends,
{heir, rest, whole}: rest empty when nothing of it stays, whole when the heir has all that was used. Returns the new
text and the resets of its rows.
]]
local function leave_rest(static, dues, old, carries)
  local left = {}
  for id, carry in pairs(carries) do
    local row = old[id]
    if carry.rest ~= '' then left[carry.rest] = row and row.grant - row.used or 0 end
  end
  local lines, times, due = {}, {}, string.gmatch(dues, '%S+')
  for line in string.gmatch(static, '[^\n]+') do
    local time, units = due(), left[string.match(line, '^[^\t]*')]
    if units and units > 0 then
      local grant = string.format('%d', units)
      line = string.gsub(line, '^([^\t]*\t%a\t)%d+(\t.*"included":)%d+', '%1' .. grant .. '%2' .. grant)
    end
    if not units or units > 0 then lines[#lines + 1], times[#times + 1] = line, time end
  end
  return table.concat(lines, '\n'), table.concat(times, ' ')
end
