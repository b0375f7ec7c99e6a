--[[
Move the numbers of rows to the rows named as their heirs (cold-path section 3.5). Of a row that ends: all that was used
or, where only the rest stays, what was used beyond the grant. Of one that stays: what was used beyond its grant, as far
as the heir has units for it. Pure: changes used and carried of the rows.

move_carried(rows, ended, carries): rows as carry_usage left them; carries as leave_rest.
]]
local function move_carried(rows, ended, carries)
  local units, heirs = {}, {}
  for _, row in ipairs(ended) do
    local carry = carries[row.id]
    if carry and row.kind == 'c' then
      local moved = carry.whole and row.used or math.max(0, row.used - row.grant)
      units[carry.heir] = (units[carry.heir] or 0) + moved
    end
  end
  for _, row in ipairs(rows) do
    local moved = units[row.id] or 0
    row.used, row.carried = row.used + moved, row.carried + moved
    heirs[row.id] = row
  end
  for _, row in ipairs(rows) do
    local heir = carries[row.id] and heirs[carries[row.id].heir]
    if heir and row.kind == 'c' then
      local paid = math.max(0, math.min(row.used - row.grant, heir.grant - heir.used))
      row.used, row.carried = row.used - paid, row.carried - paid
      heir.used, heir.carried = heir.used + paid, heir.carried + paid
    end
  end
end
