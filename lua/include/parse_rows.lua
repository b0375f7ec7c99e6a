--[[
Read the rows of one feature from their text (columns: gateway/rows.py). A due reset is computed in memory: the row is
marked fresh, keeps its old numbers under old_*, and its period becomes 0, which no slot carries, so every slot of it
reads as full. Whoever writes gives it its new period (begin_periods).

parse_rows(static, live, now_ms): texts may be false; now_ms 0 computes no reset.
Returns the list of rows in spending order.
]]
--@include next_boundary
local function parse_rows(static, live, now)
  local rows = {}
  if not static then return rows end
  local number = string.gmatch(live, '%S+')
  for line in string.gmatch(static, '[^\n]+') do
    local id, kind, grant, flags, unit, every, anchor, expires, floor, rank, entity_feature = string.match(
      line, '^([^\t]*)\t(%a)\t(%d+)\t(%a*)\t(%a*)\t(%d+)\t(%d+)\t(%d+)\t(%d*)\t([^\t]*)\t([^\t]*)\t')
    local used, over, credit, period, due, first = tonumber(number()), tonumber(number()), tonumber(number()),
      tonumber(number()), tonumber(number()), tonumber(number())
    local old_used, old_period, fresh = used, period, due > 0 and due <= now
    if fresh then
      used, over, credit, period, first = 0, 0, 0, 0, 0
      due = next_boundary(tonumber(anchor), unit, tonumber(every), now)
    end
    expires = tonumber(expires)
    rows[#rows + 1] = {
      line = line, id = id, kind = kind, grant = tonumber(grant), flags = flags, rank = rank,
      entity_feature = entity_feature, floor = tonumber(floor),
      unlimited = string.find(flags, 'u', 1, true) ~= nil,
      used = used, over = over, credit = credit, period = period, due = due, first = first,
      old_used = old_used, old_period = old_period, fresh = fresh,
      expires = expires, gone = expires > 0 and expires <= now,
    }
  end
  return rows
end
