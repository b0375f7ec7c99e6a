--[[
Put together all that one use of a feature may spend from: its own rows and those of the credit systems that list it,
with the controls that bind them. A new plan sees the numbers as they are in memory.

make_plan(states, ratios, now_ms, properties): states as read_feature returns them, the feature asked for first;
ratios[n] = {num, den}: units of state n that pay for one unit of the feature (hot-path section 2.3).
Returns {sources, pools, room}: sources in spending order; room is what the windows of the feature leave, or false (a
credit system's are about its rows alone, also where it is itself asked for).
A pool: state, num, den, exact (one unit pays for one), rules, overage, native (has pay-per-use rows), spend (overage
still allowed, or nil), room (units its windows leave, or nil); decide counts covered, taken, drained and below in it.
]]
--@include list_sources
--@include read_rules
--@include spend_limit
--@include join_sources
local function make_plan(states, ratios, now, properties)
  local plan = { pools = {}, sources = false, begun = false, noting = false, sunk = false, room = false, wanted = 0 }
  local lists, mixed = {}, #states > 1
  for at, state in ipairs(states) do
    local num, den = ratios[at][1], ratios[at][2]
    local pool = { -- all fields a plain call needs: a table that grows is filled again
      state = state, num = num, den = den, exact = num == 1 and den == 1,
      covered = 0, taken = 0, drained = 0, below = 0,
    }
    local rules = (state.rules or state.own_rules) and read_rules(state, now, properties)
    if rules and rules.alone and (state.entity or state.lone) then pool.alone = true end
    local sources = list_sources(state, pool)
    if rules then
      pool.rules, pool.overage = rules, rules.overage
      local over, room = 0, nil
      for _, source in ipairs(sources) do
        if string.find(source.row.flags, 'o', 1, true) then pool.native = true end
        if source.kind ~= 'h' then over = over + source.over end
      end
      local limit = rules.spend and spend_limit(rules.spend, sources)
      if limit then pool.spend = limit - over end
      for _, window in ipairs(rules.windows) do
        local free = math.max(0, window.limit - window.used)
        room = room and math.min(room, free) or free
      end
      if at == 1 and not rules.credits then plan.room = room else pool.room = room end
    end
    plan.pools[at], lists[at], mixed = pool, sources, mixed or sources.mixed
  end
  plan.sources = lists[1]
  if not mixed then return plan end
  if #lists > 2 then lists = join_sources(lists) end

  -- Rollovers come before all else: by expiry, and where that is one, in the order of the rest.
  local tiers, rolled, rest, places = { e = 1, s = 1, c = 2, p = 3, h = 4 }, {}, {}, {}
  for tier = 1, 4 do
    for _, sources in ipairs(lists) do
      for _, source in ipairs(sources) do
        if tiers[source.kind] == tier then
          local into = source.row.rolled and rolled or rest
          into[#into + 1] = source
          places[source] = #into
        end
      end
    end
  end
  table.sort(rolled, function(one, other)
    local first, second = string.sub(one.row.rank or '~', 1, 15), string.sub(other.row.rank or '~', 1, 15)
    if first ~= second then return first < second end
    return places[one] < places[other]
  end)
  for _, source in ipairs(rest) do rolled[#rolled + 1] = source end
  plan.sources = rolled
  return plan
end
