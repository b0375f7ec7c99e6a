--[[
The rows of a list that have not ended, where some have and nobody has written so yet (renew_rows).

rows_left(rows) returns the list itself where none has.
]]
local function rows_left(rows)
  if not rows.renew then return rows end
  local stay = { renew = true }
  for _, row in ipairs(rows) do
    if not row.gone then stay[#stay + 1] = row end
  end
  return stay
end
