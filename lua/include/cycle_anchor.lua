--[[
Say where the cycles of a customer's balance are counted from, which a window of one of its entities goes along with: of
a row of a main plan before that of another plan before one of none (hot-path section 3.6). nil when no row resets,
apart from those that end by themselves. Pure.

cycle_anchor(rows, entity_feature): rows as parse_rows left them; entity_feature is what the entity is one of.
]]
local function cycle_anchor(rows, entity_feature)
  local found, nearest = nil, 3
  for _, row in ipairs(rows) do
    local unit, anchor = string.match(row.line, '^[^\t]*\t%a\t%d+\t%a*\t(%a*)\t%d+\t(%d+)')
    if unit ~= '' and row.expires == 0 and (row.kind == 'c' or row.entity_feature == entity_feature) then
      local document = string.match(row.line, '[^\t]*$')
      local planned, distance = string.find(document, '"subscription_id":', 1, true), 2
      if planned or string.find(document, '"givers":', 1, true) then distance = 1 end
      if planned and not string.find(document, '"apart":true', 1, true) then distance = 0 end
      if distance < nearest then found, nearest = tonumber(anchor), distance end
    end
  end
  return found
end
