--[[
Write the reply of the short way of a call: what it saw of a feature, or left behind, as describe_feature does. All at
once, for each text that is made on the way costs.

describe_plain(before, feature, kind, line, live, slot, sums, read, held, behind): read and held as read_fields returns
them, the rest as plain_row does or, after a use, spend_plain. Returns before, the description and behind as one text.
]]
local function describe_plain(before, feature, kind, line, live, slot, sums, read, held, behind)
  if kind == 'e' then
    return before .. feature .. '\4\4\4' .. sums .. '\4\4' .. line .. '\4' .. live .. '\4\4' .. (read[8] or '')
      .. '\4' .. (read[9] or '') .. '\4\4' .. (held[6] or '') .. '\4' .. (read[7] or '') .. behind
  end
  local counts = kind == 'm' and string.gsub(slot, '-', '0') or '0'
  if read[7] or read[8] or read[9] or held and held[6] then
    return before .. feature .. '\4' .. line .. '\4' .. live .. '\4' .. sums .. '\4' .. counts .. '\4\4\4' .. slot
      .. '\4' .. (read[8] or '') .. '\4' .. (read[9] or '') .. '\4\4' .. (held and held[6] or '') .. '\4'
      .. (read[7] or '') .. behind
  end
  return before .. feature .. '\4' .. line .. '\4' .. live .. '\4' .. sums .. '\4' .. counts .. '\4\4\4' .. slot
    .. '\4\4\4\4\4' .. behind
end
