--[[
Measure where a feature stands for alerts: whether the smallest amount may still be used, what stands in its way, and
granted and used of each scope that has usage alerts (hot-path section 7).

measure(keys, plan) runs decide on the plan. Returns allowed, limit_type, filter, totals; filter is that of the usage
limit that is reached, {} where it has none; totals[n][scope] = {granted, used} of pool n, only for scopes with alerts.
]]
--@include decide
--@include may_overdraw
local function measure(keys, plan)
  local allowed, limit_type, totals = decide(plan, 1, 'reject') == 0, 'included', {}

  local function of_customer(state)
    local granted, used = 0, 0
    for _, row in ipairs(state.rows) do
      local copies = 1
      if row.kind == 'p' then
        copies = tonumber(string.match(
          redis.call('HGET', keys.customer, 'n:' .. row.entity_feature) or '0 0', ' (%d+)$'))
      end
      if not row.gone and not row.unlimited then granted, used = granted + row.grant * copies, used + row.used end
    end
    for _, sums in ipairs({ state.held or false, state.rolled or false }) do
      if sums then granted, used = granted + sums.granted, used + sums.used end
    end
    return { granted = granted, used = used }
  end

  for at, pool in ipairs(plan.pools) do
    local scopes = {}
    for _, alert in ipairs(pool.rules and pool.rules.alerts or {}) do
      if alert.scope == '' then
        scopes[''] = scopes[''] or of_customer(pool.state)
      elseif not scopes[alert.scope] then
        local total = { granted = 0, used = 0 }
        for _, source in ipairs(plan.sources) do
          if source.pool == pool and not source.row.unlimited then
            total.granted, total.used = total.granted + source.used + source.avail - source.over,
              total.used + source.used
          end
        end
        scopes[alert.scope] = total
      end
    end
    totals[at] = scopes
  end
  for _, source in ipairs(plan.sources) do
    if may_overdraw(source, 'reject') then limit_type = source.pool.spend and 'spend_limit' or 'max_purchase' end
  end
  local filter = '{}'
  for _, pool in ipairs(plan.pools) do
    for _, window in ipairs(pool.rules and pool.rules.windows or {}) do
      if window.used >= window.limit then
        if limit_type ~= 'usage_limit' or window.filter == '{}' then filter = window.filter end
        limit_type = 'usage_limit'
      end
    end
  end
  return { allowed = allowed, limit_type = limit_type, filter = filter, totals = totals }
end
