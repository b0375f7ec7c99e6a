--[[
Say which balances, limits and order a decision came from.

explain_plan(plan) returns a list of texts, in spending order: 'source<tab>feature<tab>row<tab>kind<tab>units above
zero<tab>units taken<tab>units below zero', then of each pool 'overage<tab>feature<tab>1 or 0', 'spend<tab>feature<tab>
units left', 'window<tab>feature<tab>scope<tab>key<tab>limit<tab>used<tab>stop'.
]]
local function explain_plan(plan)
  local texts = {}
  for _, source in ipairs(plan.sources) do
    texts[#texts + 1] = string.format('source\t%s\t%s\t%s\t%d\t%d\t%d', source.pool.state.feature, source.row.id or '',
      source.kind, source.avail, source.take, source.extra)
  end
  for _, pool in ipairs(plan.pools) do
    local feature, rules = pool.state.feature, pool.rules
    if pool.overage then texts[#texts + 1] = string.format('overage\t%s\t%s', feature, pool.overage) end
    if pool.spend then texts[#texts + 1] = string.format('spend\t%s\t%d', feature, pool.spend) end
    for _, window in ipairs(rules and rules.windows or {}) do
      texts[#texts + 1] = string.format('window\t%s\t%s\t%s\t%d\t%d\t%d',
        feature, window.scope, window.key, window.limit, window.used, window.stop)
    end
  end
  return texts
end
