--[[
Say how many units have to move, consumed > 0, for so much to be left or used of some sources (hot-path section 3.10).

aim_amount(sources, target, goal): target remaining or usage, what is left or used then; add, how much more is left;
empty to move nothing. Rollovers are not among the sources; of unlimited ones only use counts.
Returns nil when the exact range does not hold the numbers.
]]
local function aim_amount(sources, target, goal)
  local granted, used, sunk, unlimited = 0, 0, 0, false
  for _, source in ipairs(sources) do
    granted, used = granted + source.avail + source.used - source.over, used + source.used
    if source.row.unlimited then
      unlimited, sunk = true, sunk + (source.kind == 'h' and source.sums.sunk or source.used)
    end
  end
  if unlimited then granted, used = 0, sunk end
  local units = 0
  if target == 'remaining' then
    units = granted - used - goal
  elseif target == 'usage' then
    units = goal - used
  elseif target == 'add' then
    units = -goal
  end
  local most = 9007199254740991
  if math.abs(granted) > most or math.abs(units) > most then return nil end
  return units
end
