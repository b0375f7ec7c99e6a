--[[
Tell the outbox what a change crossed: from allowed to blocked for the smallest amount, and the thresholds of usage
alerts (hot-path section 7). Each crossing is one line of the change that made it, so it cannot be told twice.

note_alerts(plan, before, after, lines): before and after as measure returns them for the plan.
]]
local function note_alerts(plan, before, after, lines)
  local state = plan.pools[1].state
  local scope = state.entity and state.entity.id or ''
  if before.allowed and not after.allowed then
    local filter = after.filter ~= '{}' and ',"filter":{"properties":' .. after.filter .. '}' or ''
    lines[#lines + 1] = string.format('A\tlimit_reached\t%s\t%s\t{"limit_type":"%s"%s}', state.feature, scope,
      after.limit_type, filter)
  end

  local function reached(alert, total)
    local value, base = total.used, total.granted
    local falling = string.sub(alert.kind, 1, 9) == 'remaining'
    if falling then value = math.max(0, base - value) end
    if string.find(alert.kind, '_percentage$') then
      if base == 0 then return false end
      value = value * 10000 / base
    end
    if falling then return value <= alert.threshold end
    return value >= alert.threshold
  end

  for at, pool in ipairs(plan.pools) do
    for _, alert in ipairs(pool.rules and pool.rules.alerts or {}) do
      local was, is = before.totals[at][alert.scope], after.totals[at][alert.scope]
      if reached(alert, is) and not reached(alert, was) then
        lines[#lines + 1] = string.format(
          'A\tusage_alert_triggered\t%s\t%s\t{"name":%s,"threshold":%d,"threshold_type":"%s"}',
          pool.state.feature, alert.scope, alert.name ~= '' and alert.name or 'null', alert.threshold, alert.kind)
      end
    end
  end
end
