--[[
Give a row that comes back the numbers it rested with. One number goes on in its period, so that a lock which took some
of it may give that back; slots begin in a new one (return_slots). Pure.

return_row(row, period, used, counted): used has number=units of each slot, of one number under 0, and after these,
each behind a character 30, number=units=row of what rolled over of slots, tabs as the character 31; counted says that
the use of continuous use is known without, by the entities there are.
]]
local function return_row(row, period, used, counted)
  if row.kind == 'p' then
    row.slots, row.rollovers = string.match(used, '^([^\30]*)(.*)$')
  elseif not (counted and string.find(row.flags, 'a', 1, true)) then
    row.used = tonumber(string.match(used, '^0=(%-?%d+)') or '0')
  end
  if row.kind == 'c' then row.period = tonumber(period) end
end
