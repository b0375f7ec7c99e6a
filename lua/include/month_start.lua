--[[
The first day of a month, by the Gregorian calendar.

month_start(months): months since January of the year 0, as civil_month returns. Returns days since 1 January 1970.
]]
local function month_start(months)
  local of_january = months % 12
  local year, month = (months - of_january) / 12, of_january + 1
  local shifted_year = month <= 2 and year - 1 or year
  local of_era = shifted_year % 400
  local ahead = 153 * (month > 2 and month - 3 or month + 9) + 2
  return (shifted_year - of_era) / 400 * 146097 + of_era * 365 + (of_era - of_era % 4) / 4
    - (of_era - of_era % 100) / 100 + (ahead - ahead % 5) / 5 - 719468
end
