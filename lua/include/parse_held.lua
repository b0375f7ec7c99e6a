--[[
Read the sums over what entities hold of a feature.

parse_held(text) takes the text or false.
Returns a table: band (of the index), granted, used, over, credit, rows, unlimited (rows), sunk (used of those).
]]
local function parse_held(text)
  if not text then return nil end
  local band, granted, used, over, credit, rows, unlimited, sunk = string.match(
    text, '^(%d+) (%d+) (%-?%d+) (%d+) (%d+) (%d+) (%d+) (%-?%d+)$')
  return {
    band = tonumber(band), granted = tonumber(granted), used = tonumber(used), over = tonumber(over),
    credit = tonumber(credit), rows = tonumber(rows), unlimited = tonumber(unlimited), sunk = tonumber(sunk),
  }
end
