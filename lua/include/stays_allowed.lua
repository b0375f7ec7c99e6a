--[[
Whether a use surely leaves enough for the smallest amount, and nobody waits for its thresholds: then nothing can cross
(hot-path section 7), and nothing has to be measured.

stays_allowed(plan, applied): plan as decide has left it; applied units of the feature, as decide_part.
]]
--@include to_pool
local function stays_allowed(plan, applied)
  for _, pool in ipairs(plan.pools) do
    if pool.rules and pool.rules.alerts[1] then return false end
  end
  if applied <= 0 then return true end
  if plan.room and plan.room - applied < 1 then return false end
  for _, source in ipairs(plan.sources) do
    local pool = source.pool
    local need = pool.exact and 1 or math.max(1, to_pool(pool, 1))
    if source.row.unlimited or source.avail - source.take >= need
      and (not pool.room or source.row.rolled or pool.room - pool.drained >= need) then
      return true
    end
  end
  return false
end
