--[[
Keep the receipt of a hold: what was taken, in order, so that it can go back exactly there (hot-path section 6.8). Holds
end by themselves: the set of holds has when.

keep_lock(keys, head, entity, lock_id, expires, properties, part, lines, mode): part has plan, applied, taken and
counted; mode is that of a check, overflow when more than there is may be confirmed too.
]]
--@include set_extra
local function keep_lock(keys, head, entity, lock_id, expires, properties, part, lines, mode)
  local env, customer = string.match(head, '^([^\t]*)\t(.*)$')
  local feature = part.plan.pools[1].state.feature
  local last = redis.call('HGET', keys.customer, 'entities') -- who comes later takes nothing back
  local receipt = { table.concat({
    customer, feature, entity, string.format('%d', part.applied), expires, last, part.states[1].id,
    properties }, '\t') }
  local sums = {}
  for _, item in ipairs(part.taken) do
    local of, delta = string.match(item, '^([^\t]*)\t[^\t]*\t[^\t]*\t%d+\t(%-?%d+)\t')
    sums[of] = (sums[of] or 0) + tonumber(delta)
    receipt[#receipt + 1] = item
  end
  for _, window in ipairs(part.counted) do receipt[#receipt + 1] = window end
  if mode == 'overflow' then receipt[#receipt + 1] = '\t\toverflow\t\t0\t0' end -- to others a window of no feature
  for _, pool in ipairs(part.plan.pools) do
    local state, units = pool.state, sums[pool.state.feature]
    for _, scope in ipairs(units and { '', state.entity and entity or nil } or {}) do
      local place = scope == '' and 'extras' or 'own_extras'
      local held = tonumber(string.match('\n' .. (state[place] or ''), '\nk\t(%-?%d+)') or '0') + units
      set_extra(keys, state, scope, 'k', held ~= 0 and string.format('%d', held) or nil)
    end
  end
  local text = table.concat(receipt, '\n')
  redis.call('HSET', keys.locks, env .. '\t' .. lock_id, text)
  redis.call('ZADD', keys.holds, expires, head .. '\t' .. lock_id)
  lines[#lines + 1] = string.format('L\t%s\t%s\t%s\topen\t%s\t%d\t%s', lock_id, feature, entity, expires, part.applied,
    (string.gsub(text, '\n', '\31')))
end
