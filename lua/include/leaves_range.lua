--[[
Say whether a decision would take any number out of the range Lua and SQL keep exactly.

leaves_range(sources): sources as decide has filled them in; sets moved of each. Returns true or false.
]]
local function leaves_range(sources)
  local most, together = 9007199254740991, nil
  for _, source in ipairs(sources) do
    source.moved = source.take + source.extra - source.credit
    if source.moved ~= 0 and (source.kind == 'e' or source.kind == 'h') then
      together = together or {}
      together[source.sums] = (together[source.sums] or 0) + source.moved
    end
  end
  for _, source in ipairs(sources) do
    local sums, moved = source.sums, source.moved
    if moved ~= 0 then
      local all = together and together[sums] or moved
      if math.abs(source.used + moved) > most or math.abs(sums.used + all) > most or sums.over + all > most
        or sums.credit - all > most or math.abs((sums.sunk or 0) + all) > most then
        return true
      end
    end
  end
  return false
end
