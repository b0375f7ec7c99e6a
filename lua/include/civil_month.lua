--[[
The month and the day of the month of a time, by the Gregorian calendar in UTC: eras of 400 years that begin on 1 March.
A quotient is written n - n % d over d, since math.floor is a call and there are many.

civil_month(ms): Unix milliseconds. Returns months since January of the year 0, and the day from 1 on.
]]
local function civil_month(ms)
  local days = (ms - ms % 86400000) / 86400000 + 719468
  local day = days % 146097
  local era = (days - day) / 146097
  local leap, century, last = day % 1460, day % 36524, day % 146096
  local rest = day - (day - leap) / 1460 + (day - century) / 36524 - (day - last) / 146096
  local year = (rest - rest % 365) / 365
  local of_year = day - 365 * year - (year - year % 4) / 4 + (year - year % 100) / 100
  local fifths = 5 * of_year + 2
  local shifted = (fifths - fifths % 153) / 153
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local civil_year = era * 400 + year + (month <= 2 and 1 or 0)
  local ahead = 153 * shifted + 2
  return civil_year * 12 + month - 1, of_year - (ahead - ahead % 5) / 5 + 1
end
