--[[
Find the row a call spends from where several stand in order: the first one with anything left, for what it has enough.
It applies when all of them are rows of the customer that only their numbers bind: not unlimited, not due, not expired,
used not below zero, and no rollover under a usage limit; or flags.

plain_rows(text, live, sums, now_ms, room, ends, counted): text of the rows, and sums as plain_row returns them; the
last three of plain_limit. Returns what plain_row does, of the first row with anything left, but text, slot ('-' for
each), left and overdraws of all; and of that row its line, and most (units above zero, and in the room).
]]
local function plain_rows(text, live, sums, now, room, ends, counted)
  local numbers, at = string.gmatch(live, '()(%d+)() 0 %d+ (%d+) (%d+) %d+()'), 1
  local slot, left, overdraws = '', 0, false
  local id, period, used, before, rest, line, most
  for one in string.gmatch(text, '[^\n]+') do
    local name, sort, grant, flags, expires = string.match(
      one, '^([^\t]*)\t([bc])\t(%d+)\t([afkor]*)\t%a*\t%d+\t%d+\t(%d+)\t')
    local from, number, behind, of_period, due, stop = numbers()
    if not name or from ~= at or due ~= '0' and due - now <= 0 or expires ~= '0' and expires - now <= 0
      or room and string.find(flags, 'r', 1, true) then
      return nil
    end
    at, slot = stop + 1, slot == '' and '-' or slot .. ' -'
    overdraws = overdraws or flags ~= '' and string.find(flags, 'o', 1, true)
    local units = sort == 'c' and grant - number or 0
    if units > 0 then
      left = left + units
      if not id then
        id, period, used, line, most = name, of_period, number + 0, one, units
        before, rest = string.sub(live, 1, from - 1), string.sub(live, behind)
      end
    end
  end
  if left > 9007199254740991 then return nil end
  if room then left, most = math.min(left, room), most and math.min(most, room) end
  return 'm', text, live, slot, sums, left, overdraws, id, period, used, used, before, rest, line, most, ends, counted
end
