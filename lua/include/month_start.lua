--[[
The first day of a month, by the Gregorian calendar.

month_start(months): months since January of the year 0, as civil_month returns. Returns days since 1 January 1970.
]]
local function month_start(months)
  local year, month = math.floor(months / 12), months % 12 + 1
  local shifted_year = month <= 2 and year - 1 or year
  local era = math.floor(shifted_year / 400)
  local of_era = shifted_year - era * 400
  local of_year = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5)
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end
