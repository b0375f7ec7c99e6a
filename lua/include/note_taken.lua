--[[
Note for a lock what one source gave, row by row, with the units of the feature each stands for.

note_taken(source, lines, from, taken): lines from that place on are the moves of the source; taken is a list of texts
'feature<tab>row<tab>entity<tab>period<tab>delta<tab>covered'.
]]
--@include from_pool
local function note_taken(source, lines, from, taken)
  local units, covered = 0, 0
  for at = from, #lines do
    local item, delta = string.match(lines[at], '^D\t([^\t]*\t[^\t]*\t[^\t]*\t%d+)\t(%-?%d+)')
    delta = tonumber(delta)
    units = units + math.abs(delta)
    local covers = at == #lines and source.covers or math.min(source.covers, from_pool(source.pool, units))
    taken[#taken + 1] = string.format('%s\t%d\t%d', item, delta, covers - covered)
    covered = covers
  end
end
