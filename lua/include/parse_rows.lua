--[[
Read the rows of one feature from their text (columns: gateway/rows.py). A due reset is computed in memory: the row is
marked fresh, keeps its old numbers under old_*, and its period becomes 0, which no slot carries, so every slot of it
reads as full. Whoever writes gives it its new period (begin_periods).

parse_rows(static, live, now_ms): texts may be false; now_ms 0 computes no reset.
Returns the list of rows in spending order.
]]
--@include next_boundary
local function parse_rows(static, live, now)
  local rows, numbers = {}, {}
  if not static then return rows end
  for number in string.gmatch(live, '%S+') do numbers[#numbers + 1] = tonumber(number) end
  for line in string.gmatch(static, '[^\n]+') do
    local id, kind, grant, flags, unit, every, anchor, expires, floor, rank, entity_feature = string.match(
      line, '^([^\t]*)\t(%a)\t(%d+)\t(%a*)\t(%a*)\t(%d+)\t(%d+)\t(%d+)\t(%d*)\t([^\t]*)\t([^\t]*)\t')
    local at = #rows * 6
    local row = {
      line = line, id = id, kind = kind, grant = tonumber(grant), flags = flags, rank = rank, entity_feature = entity_feature,
      floor = tonumber(floor), unlimited = string.find(flags, 'u', 1, true) ~= nil,
      used = numbers[at + 1], over = numbers[at + 2], credit = numbers[at + 3],
      period = numbers[at + 4], due = numbers[at + 5], first = numbers[at + 6],
    }
    expires = tonumber(expires)
    row.expires = expires
    row.gone = expires > 0 and expires <= now
    row.old_used, row.old_period = row.used, row.period
    if row.due > 0 and row.due <= now then
      row.fresh = true
      row.used, row.over, row.credit, row.period, row.first = 0, 0, 0, 0, 0
      row.due = next_boundary(tonumber(anchor), unit, tonumber(every), now)
    end
    rows[#rows + 1] = row
  end
  return rows
end
