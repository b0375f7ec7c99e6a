--[[
The month and the day of the month of a time, by the Gregorian calendar in UTC: eras of 400 years that begin on 1 March.

civil_month(ms): Unix milliseconds. Returns months since January of the year 0, and the day from 1 on.
]]
local function civil_month(ms)
  local days = math.floor(ms / 86400000) + 719468
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  local of_year = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local shifted = math.floor((5 * of_year + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local civil_year = era * 400 + year + (month <= 2 and 1 or 0)
  return civil_year * 12 + month - 1, of_year - math.floor((153 * shifted + 2) / 5) + 1
end
