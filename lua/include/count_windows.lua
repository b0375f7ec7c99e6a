--[[
Count what a decision used in the usage windows (hot-path section 3.6): of the feature the units that were placed,
whatever paid them; of a credit system, asked for itself or not, what left its own rows. What an unlimited source
absorbed does not count.

count_windows(keys, plan, applied, lines) returns a list of texts '<tab>feature<tab>scope<tab>key<tab>stop<tab>units',
one for each window it moved.
]]
--@include set_extra
local function count_windows(keys, plan, applied, lines)
  local counted = {}
  if plan.sunk then return counted end
  for at, pool in ipairs(plan.pools) do
    local units = at == 1 and not (pool.rules and pool.rules.credits) and applied or pool.drained
    for _, window in ipairs(pool.rules and units > 0 and pool.rules.windows or {}) do
      window.used = window.used + units
      local feature = pool.state.feature
      set_extra(keys, pool.state, window.scope, 'w\t' .. window.key, string.format('%d\t%d', window.stop, window.used))
      lines[#lines + 1] = string.format('W\t%s\t%s\t%s\t%d\t%d',
        feature, window.scope, window.key, window.stop, window.used)
      counted[#counted + 1] = string.format('\t%s\t%s\t%s\t%d\t%d',
        feature, window.scope, window.key, window.stop, units)
    end
  end
  return counted
end
