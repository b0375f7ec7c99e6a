--[[
Find the one row a call can spend from, where it is as plain as most are: the short way of check and track, past the
lists of sources the general way makes (make_plan, decide), which answers the same.

It applies when at most one plain limit of the customer's binds the feature (plain_limit), and all that is in sight of
it there is
  c  one row of the customer, at its own level while no entity holds any itself, or at the level of an entity;
  s  the slot of one per-entity row, used in this period or never, while no slot of the row is beyond its grant;
  e  one row of the entity's own, while none of its like is beyond its grant; or
  m  several rows of the customer, or none (plain_rows);
a flag or unlimited only as the customer's, no rollover, not due, not expired, used not below zero, and the sums far
from the end of the exact range.

plain_row(read, held, now_ms): read and held as read_fields returns them; read may be nil.
Returns nil, or many values, since a table would cost more than what is found: kind, line, live, slot (used of the
entity's, else '-'), sums (over what entities hold), left (units that can be used; of what entities hold those above
zero), overdraws (pay per use, and more than left) and, where more use changes no index, id, period, used, total (of all
that moves with it), before and rest (the text around that number), of several rows also what plain_rows adds, else two
nil; and of a usage limit, which bounds left, its stop and what it has counted.
]]
--@include plain_limit
--@include plain_rows
local function plain_row(read, held, now)
  if not read then return nil end
  local line, live, kind = read[4], read[5], 'c'
  if held and held[3] and not line then line, live, kind = held[3], held[4], 'e' end
  if not line then
    if not read[1] then return nil end
    line, live = '', ''
  end
  local spend, room, stop, counted = nil, nil, nil, nil
  if read[8] then
    spend, room, stop, counted = plain_limit(read[8], read[9], now)
    if not spend then return nil end
  end
  if held then
    if not held[1] or held[5] or held[3] and kind == 'c' then return nil end
  elseif read[6] or read[7] then
    return nil
  end
  local number, rest, period, due, first = string.match(live, '^(%d+)( 0 %d+ (%d+) (%d+) (%d+))$')
  if not number and kind == 'c' then return plain_rows(line, live, read[6] or '', now, room, stop, counted) end
  local id, sort, grant, flags, expires, from = string.match(line, held and
    '^([^\t]*)\t([bcp])\t(%d+)\t([afkou]*)\t%a*\t%d+\t%d+\t(%d+)\t%d*\t()' or
    '^([^\t]*)\t([bc])\t(%d+)\t([afkou]*)\t%a*\t%d+\t%d+\t(%d+)\t')
  if not number or not sort then return nil end
  if due ~= '0' and due - now <= 0 or expires ~= '0' and expires - now <= 0 then return nil end
  local used, before, slot, sums = number + 0, '', '-', read[6] or ''
  local total, begun = used, true
  if kind == 'e' then
    before, number, rest = string.match(sums, '^(%d+ %d+ )(%d+)( 0 %d+ %d+ 0 0)$')
    if sort ~= 'c' or not number then return nil end
    total, begun = number + 0, used > 0
  elseif sort == 'p' then
    local place, of = string.match(held[1], '^%d+\t(%d+)\t([^\t]*)\t')
    if of ~= string.match(line, '^[^\t]*\t([^\t]*)', from) then return nil end
    local of_period = period
    slot = '0'
    if held[2] then of_period, slot = string.match(held[2], '^(%d+) (%d+)$') end
    if of_period ~= period then return nil end
    kind, used = 's', slot + 0
    begun = used > 0 and place - first >= 0
  elseif sort == 'b' then
    return kind, line, live, slot, sums, 0, false
  end
  local left, overdraws = grant - used, false
  if flags ~= '' then
    local unlimited = string.find(flags, 'u', 1, true)
    overdraws = string.find(flags, 'o', 1, true)
    if unlimited and (kind ~= 'c' or room) then return nil end
    if (unlimited or overdraws) and kind == 'c' then
      local floor = unlimited and '' or spend ~= '' and spend
        or string.match(line, '^[^\t]*\tc\t%d+\t%a*\t%a*\t%d+\t%d+\t%d+\t(%d*)')
      left, overdraws = floor == '' and 9007199254740991 - used or left + floor, false
    end
  end
  if total + left > 9007199254740991 then return nil end
  if room then left = math.min(left, room) end
  if not begun then return kind, line, live, slot, sums, left, overdraws end
  return kind, line, live, slot, sums, left, overdraws, id, period, used, total, before, rest, nil, nil, stop, counted
end
