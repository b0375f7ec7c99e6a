--[[
Read the rows of one feature from their text (columns: gateway/rows.py). A due reset is computed in memory: the row is
marked fresh, keeps its old numbers under old_*, and its period becomes 0, which no slot carries, so every slot of it
reads as full. Whoever writes gives it its new period (begin_periods).

parse_rows(static, live, now_ms): texts may be false; now_ms 0 computes no reset.
Returns the list of rows in spending order, with marks of its own: rolls when a reset leaves a rollover behind, or the
row another grant (roll_over makes both), rolling when slots of a per-entity row do (settle makes them first), renew
when a row has expired; and live, the text, where no reset was due and it says the same as the rows.
Of a row fresh, gone (expired), unlimited and rolled (a rollover) are nil when they do not hold.
]]
--@include next_boundary
local function parse_rows(static, live, now)
  local rows = { live = live or '' }
  if not static then return rows end
  local numbers = string.gmatch(live, '(%-?%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
  for line in string.gmatch(static, '[^\n]+') do
    local id, kind, grant, flags, expires, floor, rank, entity_feature, roll = string.match(line,
      '^([^\t]*)\t(%a)\t(%d+)\t(%a*)\t%a*\t%d+\t%d+\t(%d+)\t(%d*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t')
    local used, over, credit, period, due, first = numbers()
    local row = { -- most numbers are 0, and to compare texts costs less than to read a number
      line = line, id = id, kind = kind, grant = tonumber(grant), flags = flags, rank = rank,
      entity_feature = entity_feature, roll = roll, floor = floor ~= '' and tonumber(floor) or nil,
      used = used == '0' and 0 or tonumber(used), over = over == '0' and 0 or tonumber(over),
      credit = credit == '0' and 0 or tonumber(credit), period = period == '0' and 0 or tonumber(period),
      due = due == '0' and 0 or tonumber(due), first = first == '0' and 0 or tonumber(first),
      expires = expires == '0' and 0 or tonumber(expires),
    }
    rows[#rows + 1] = row
    if flags ~= '' and string.find(flags, 'u', 1, true) then row.unlimited = true end
    if roll ~= '' and string.byte(rank) == 33 then row.rolled = true end
    if row.expires > 0 and row.expires <= now then
      row.gone, rows.renew = true, true
    end
    if row.due > 0 and row.due <= now then
      rows.live = nil
      row.fresh, row.old_used, row.old_period, row.old_due = true, row.used, row.period, row.due
      local keeps = string.find(flags, 'k', 1, true) -- overage of a free row outlives the reset (hot-path section 5)
      if kind == 'p' then
        if not row.gone and (roll ~= '' or keeps and row.over > 0) then rows.rolling = true end
      elseif not row.gone and (roll ~= '' or string.find(line, '"planned":', 1, true)) then
        rows.rolls = true
      end
      row.used = kind ~= 'p' and keeps and math.max(0, row.used - row.grant) or 0
      row.over, row.credit, row.period, row.first = 0, 0, 0, 0
      local unit, every, anchor = string.match(line, '^[^\t]*\t%a\t%d+\t%a*\t(%a*)\t(%d+)\t(%d+)\t')
      row.due = next_boundary(tonumber(anchor), unit, tonumber(every), now)
    end
  end
  return rows
end
