--[[
Note for a lock what each row gave, with the units of the feature it stands for, in the order it was taken: within the
grants of all sources first, then below zero; the other way round for what was given back. A row may be in it twice.

note_taken(plan, lines, from): from has for each source of the plan where its moves begin in lines.
Returns a list of texts 'feature<tab>row<tab>entity<tab>period<tab>delta<tab>covered'.
]]
--@include offer
local function note_taken(plan, lines, from)
  local taken, sources, giving, left = {}, plan.sources, plan.wanted >= 0, math.abs(plan.wanted)
  for _, pool in ipairs(plan.pools) do pool.covered, pool.taken = 0, 0 end
  for _, source in ipairs(sources) do source.covers = 0 end
  local spent = {} -- units of a move that are noted already
  for _, phase in ipairs(giving and { 'take', 'extra' } or { 'extra', 'take', 'credit' }) do
    for at, source in ipairs(sources) do
      local rest, line = math.abs(source[phase]), from[at]
      local stop = from[at + 1] or #lines + 1
      while rest > 0 and line < stop do
        local item, delta = string.match(lines[line], '^D\t([^\t]*\t[^\t]*\t[^\t]*\t%d+)\t(%-?%d+)')
        local units = math.min(rest, math.abs(tonumber(delta)) - (spent[line] or 0))
        if units > 0 then
          local before = left
          units, left = offer(source, units, left)
          taken[#taken + 1] = string.format('%s\t%d\t%d', item, giving and units or -units, before - left)
          spent[line], rest = (spent[line] or 0) + units, rest - units
        end
        line = line + 1
      end
    end
  end
  return taken
end
