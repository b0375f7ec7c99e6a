--[[
Write the sums over what entities hold of a feature (parse_held reads them).

format_held(held) returns the text.
]]
local function format_held(held)
  return string.format('%d %d %d %d %d %d %d %d', held.band, held.granted, held.used, held.over, held.credit,
    held.rows, held.unlimited, held.sunk)
end
