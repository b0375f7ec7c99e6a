--[[
Say what the short way of a call saw of a feature, or left behind, as describe_feature does.

describe_plain(feature, kind, line, live, slot, sums, read, held): read and held as read_fields returns them, the
rest as plain_row does or, after a use, spend_plain. Returns the text.
]]
local function describe_plain(feature, kind, line, live, slot, sums, read, held)
  if kind == 'e' then
    return feature .. '\4\4\4' .. sums .. '\4\4' .. line .. '\4' .. live .. '\4\4\4' .. (read[9] or '') .. '\4\4'
      .. (held[6] or '') .. '\4' .. (read[7] or '')
  end
  return feature .. '\4' .. line .. '\4' .. live .. '\4' .. sums .. '\0040\4\4\4' .. slot .. '\4\4' .. (read[9] or '')
    .. '\4\4' .. (held and held[6] or '') .. '\4' .. (read[7] or '')
end
