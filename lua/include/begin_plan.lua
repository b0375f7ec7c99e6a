--[[
Make real what reading computed for the rows of a plan, before anything is used of them: resets, rollovers, the end of
rows that expired.

begin_plan(keys, plan, counter, lines) returns the counter; commit_plan does it where the caller has not.
]]
--@include begin_periods
--@include renew_rows
--@include own_totals
local function begin_plan(keys, plan, counter, lines)
  plan.begun = true
  for _, pool in ipairs(plan.pools) do
    local state = pool.state
    local owner = state.entity
    state.counter = counter
    begin_periods(keys, state, state.rows, '', lines)
    state.rows = renew_rows(keys, state, state.rows, '', lines)
    if owner and #state.own > 0 then
      if not state.own_changed then
        state.own_before, state.rolled_before = own_totals(state.own, true)
        for _, row in ipairs(state.own) do state.own_changed = state.own_changed or row.fresh end
        state.own_changed = state.own_changed or state.own.renew
      end
      begin_periods(keys, state, state.own, owner.id, lines)
      state.own = renew_rows(keys, state, state.own, owner.id, lines)
    end
    counter = state.counter
  end
  return counter
end
