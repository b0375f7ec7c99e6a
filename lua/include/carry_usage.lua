--[[
Place usage of continuous use that outlives the rows it was counted on: each row takes it up to its grant, in order,
and the first one takes what is left. Pure: raises used of the rows and says by how much under carried.

carry_usage(rows, units): rows that are one number and count continuous use are meant, others are passed over.
]]
local function carry_usage(rows, units)
  local first
  for _, row in ipairs(rows) do
    row.carried = 0
    if row.kind == 'c' and string.find(row.flags, 'a', 1, true) then
      first = first or row
      local room = row.unlimited and units or math.max(0, row.grant - row.used)
      row.carried = math.min(units, room)
      units = units - row.carried
    end
  end
  if first then first.carried = first.carried + units end
  for _, row in ipairs(rows) do row.used = row.used + row.carried end
end
