--[[
The first reset boundary strictly after now, counted from the anchor so that clamped month ends do not drift
(31 January, 28 February, 31 March). All arithmetic is UTC.

next_boundary(anchor_ms, unit, every, now_ms): unit 'f' counts every milliseconds, 'm' counts every months.
Returns Unix milliseconds.
]]
--@include civil_month
--@include month_start
local function next_boundary(anchor, unit, every, now)
  if unit == 'f' then
    return anchor + (math.floor((now - anchor) / every) + 1) * every
  end
  local anchor_month, anchor_day = civil_month(anchor)
  local step = math.floor((civil_month(now) - anchor_month) / every)
  for later = step, step + 1 do
    local months = anchor_month + later * every
    local first = month_start(months)
    local day = math.min(anchor_day, month_start(months + 1) - first)
    local boundary = (first + day - 1) * 86400000 + anchor % 86400000
    if boundary > now then return boundary end
  end
end
