--[[
Read the slots one entity has of a feature: pairs of (period, used).

parse_pairs(text) takes the text or false. Returns a table period -> used; a period that is absent is a full slot.
]]
local function parse_pairs(text)
  local pairs_read = {}
  if text then
    for period, used in string.gmatch(text, '(%d+) (%-?%d+)') do
      pairs_read[tonumber(period)] = tonumber(used)
    end
  end
  return pairs_read
end
