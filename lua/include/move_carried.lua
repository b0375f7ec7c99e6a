--[[
Move the numbers of rows to the rows named as their heirs (cold-path section 3.5). Of a row that ends: all that was used
or, where only the rest stays, what was used beyond the grant. What the heir has no units for is used of other rows that
begin, first as far as they have some, then of one that is paid by use. Of a row that stays: what was used beyond its
grant, as far as the heir has units for it. Pure: changes used and carried of the rows.

move_carried(rows, old, ended, carries): rows as carry_usage left them; old has those that were there, by id; carries as
leave_rest. Returns what is left to be used of the slots of per-entity rows, as a list of {id, units}.
]]
local function move_carried(rows, old, ended, carries)
  local units, heirs, rests, begin, of_slots = {}, {}, {}, {}, {}
  for _, row in ipairs(rows) do heirs[row.id] = row end
  local function move(from, to, moved)
    if from then from.used, from.carried = from.used - moved, from.carried - moved end
    to.used, to.carried = to.used + moved, to.carried + moved
  end
  for _, row in ipairs(ended) do
    local carry = carries[row.id]
    local heir = carry and heirs[carry.heir]
    if carry then rests[carry.rest] = true end
    local by_itself = heir and heir.kind == 'c' and string.find(row.flags, 'a', 1, true) -- carry_usage has done it
    if heir and not by_itself and (row.kind == 'c' or heir.kind == 'c') then -- else slots do too (inherit_slots)
      local moved = carry.whole and row.used or math.max(0, row.used - row.grant)
      units[carry.heir] = (units[carry.heir] or 0) + moved
    end
  end
  for _, row in ipairs(rows) do
    if row.kind == 'p' then
      of_slots[#of_slots + 1] = units[row.id] and { id = row.id, units = units[row.id] } or nil
    else
      move(nil, row, units[row.id] or 0)
    end
    if row.kind == 'c' and not old[row.id] and not rests[row.id] then begin[#begin + 1] = row end
  end
  for _, heir in ipairs(rows) do
    local excess = units[heir.id] and not heir.unlimited and math.min(units[heir.id], heir.used - heir.grant) or 0
    for pass = 1, string.find(heir.flags, 'o', 1, true) and 1 or 2 do
      for _, row in ipairs(begin) do
        local paid = pass == 2 and string.find(row.flags, 'o', 1, true)
        local moved = math.max(0, paid and excess or math.min(excess, row.grant - row.used))
        move(heir, row, moved)
        excess = excess - moved
      end
    end
  end
  for _, row in ipairs(rows) do
    local heir = carries[row.id] and heirs[carries[row.id].heir]
    if heir and row.kind == 'c' then
      move(row, heir, math.max(0, math.min(row.used - row.grant, heir.grant - heir.used)))
    end
  end
  return of_slots
end
