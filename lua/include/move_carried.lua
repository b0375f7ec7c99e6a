--[[
Move the numbers of rows that end to the rows named as their heirs (cold-path section 3.5): all that was used or, where
only the rest stays, what was used beyond the grant. Pure: raises used and carried of the rows.

move_carried(rows, ended, carries): rows as carry_usage left them; carries as leave_rest.
]]
local function move_carried(rows, ended, carries)
  local units = {}
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
  end
end
