--[[
Spread an amount over sources (hot-path section 3.3 and 3.4). Pure: writes nothing to Redis, only take, extra and
credit of each source: units within the grant, units below zero (whatever the floor when boundless), units above the
grant.

A positive amount drains each source to zero in order, then goes below zero where that is permitted: pay-per-use rows
(flag o, down to their floor), free continuous use (flag f, unless mode is reject). Mode overflow puts the rest on the
first source whatever it permits. A negative amount raises what is below zero first, then gives back up to the grant;
in mode overflow the rest goes above the grant of the first source. An unlimited source absorbs everything.

decide(sources, amount, mode) with mode cap, reject or overflow.
Returns the units nobody could take (0 when all of it is placed), or nil when a balance would leave the exact range.
]]
local function decide(sources, amount, mode)
  local first = sources[1]
  for _, source in ipairs(sources) do source.take, source.extra, source.credit, source.boundless = 0, 0, 0, false end

  local function place()
    for _, source in ipairs(sources) do
      if source.unlimited then
        source.extra = amount
        return 0
      end
    end
    local left = amount < 0 and -amount or amount
    if amount >= 0 then
      for _, source in ipairs(sources) do
        source.take = math.min(left, source.avail)
        left = left - source.take
      end
      if left > 0 and mode == 'overflow' and first then
        first.extra, first.boundless = left, true
        return 0
      end
      for _, source in ipairs(sources) do
        if left == 0 then return 0 end
        local flags = source.row.flags
        if string.find(flags, 'o', 1, true) or (mode ~= 'reject' and string.find(flags, 'f', 1, true)) then
          local floor = source.row.floor
          source.extra = floor and math.max(0, math.min(left, floor * source.copies - source.over)) or left
          left = left - source.extra
        end
      end
      return left
    end
    for _, source in ipairs(sources) do
      local healed = math.min(left, source.over)
      source.extra = -healed
      left = left - healed
    end
    for _, source in ipairs(sources) do
      local given = math.min(left, source.back)
      source.take = -given
      left = left - given
    end
    if left > 0 and mode == 'overflow' and first then
      first.credit = left
      return 0
    end
    return left
  end

  local left = place()
  local most, held_moved = 9007199254740991, 0
  for _, source in ipairs(sources) do
    source.moved = source.take + source.extra - source.credit
    if source.kind == 'e' or source.kind == 'h' then held_moved = held_moved + source.moved end
  end
  for _, source in ipairs(sources) do
    local sums, moved = source.sums, source.moved
    if moved ~= 0 then
      local together = (source.kind == 'e' or source.kind == 'h') and held_moved or moved
      if math.abs(source.used + moved) > most or math.abs(sums.used + together) > most
        or sums.over + together > most or sums.credit - together > most
        or math.abs((sums.sunk or 0) + together) > most then
        return nil
      end
    end
  end
  return left
end
