--[[
The first reset boundary strictly after now, counted from the anchor so that clamped month ends do not drift
(31 January, 28 February, 31 March). All arithmetic is UTC.

next_boundary(anchor_ms, unit, every, now_ms): unit 'f' counts every milliseconds, 'm' counts every months.
Returns Unix milliseconds.
]]
local function next_boundary(anchor, unit, every, now)
  if unit == 'f' then
    return anchor + (math.floor((now - anchor) / every) + 1) * every
  end
  local day_ms = 86400000

  -- Civil calendar of the proleptic Gregorian rule: eras of 400 years that begin on 1 March.
  local function month_of(ms)
    local days = math.floor(ms / day_ms) + 719468
    local era = math.floor(days / 146097)
    local day = days - era * 146097
    local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
    local of_year = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local shifted = math.floor((5 * of_year + 2) / 153)
    local month = shifted < 10 and shifted + 3 or shifted - 9
    local civil_year = era * 400 + year + (month <= 2 and 1 or 0)
    return civil_year * 12 + month - 1, of_year - math.floor((153 * shifted + 2) / 5) + 1
  end

  local function first_day(months)
    local year, month = math.floor(months / 12), months % 12 + 1
    local shifted_year = month <= 2 and year - 1 or year
    local era = math.floor(shifted_year / 400)
    local of_era = shifted_year - era * 400
    local of_year = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5)
    return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
  end

  local anchor_month, anchor_day = month_of(anchor)
  local time_of_day = anchor % day_ms

  local function boundary(step)
    local months = anchor_month + step * every
    local days_in_month = first_day(months + 1) - first_day(months)
    return (first_day(months) + math.min(anchor_day, days_in_month) - 1) * day_ms + time_of_day
  end

  local step = math.floor((month_of(now) - anchor_month) / every)
  if boundary(step) > now then return boundary(step) end
  return boundary(step + 1)
end
