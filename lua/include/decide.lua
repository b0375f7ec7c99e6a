--[[
Spread an amount over the sources of a plan (hot-path section 3.3 and 3.4): the one rule of check, track, holds and
corrections. Pure: fills in take, extra and credit of each source, in units of its pool: within the grant, below zero
(whatever the floor when boundless), above the grant; and covers, the units of the feature it stands for.

A positive amount drains each source to zero in order, then goes below zero where that is permitted, down to the spend
limit of the pool or the floor of the row. Mode overflow puts the rest on the first source, clamped only by a spend
limit; mode allow not even by that. A negative amount raises what is below zero first, then gives back up to the grant;
these two modes know no grant, so the first source gets all of the rest. Rollovers are drained, never refunded; allow
leaves them alone. Windows bound cap and reject. An unlimited source absorbs everything.

decide(plan, amount, mode) with mode cap, reject, overflow or allow.
Returns the units nobody could take (0 when all of it is placed), or nil when a balance would leave the exact range.
]]
--@include may_overdraw
--@include offer
--@include leaves_range
local function decide(plan, amount, mode)
  local sources, first, sink = plan.sources, nil, nil
  local bounded, correcting = mode == 'cap' or mode == 'reject', mode == 'allow'
  for _, pool in ipairs(plan.pools) do pool.covered, pool.taken, pool.drained, pool.below = 0, 0, 0, 0 end
  for _, source in ipairs(sources) do
    source.take, source.extra, source.credit, source.covers, source.boundless = 0, 0, 0, 0, false
    sink = sink or source.row.unlimited and source
    first = first or not source.row.rolled and source
  end
  plan.sunk = sink
  local left, held_back = math.abs(amount), 0

  if sink then
    sink.extra, left = offer(sink, 9007199254740992, left)
    if amount < 0 then sink.extra = -sink.extra end
  elseif amount >= 0 then
    if bounded and plan.room and left > plan.room then
      held_back, left = left - plan.room, plan.room
    end
    for _, source in ipairs(sources) do
      if left == 0 then break end
      local pool, most, rolled = source.pool, source.avail, source.row.rolled
      if most > 0 and not (correcting and rolled) then
        if bounded and pool.room and not rolled then most = math.min(most, pool.room - pool.drained) end
        source.take, left = offer(source, most, left)
        if not rolled then pool.drained = pool.drained + source.take end
      end
    end
    for _, source in ipairs(left > 0 and sources or {}) do
      local pool, most = source.pool, may_overdraw(source, mode, source == first)
      if most and left > 0 then
        if bounded and pool.room then most = math.min(most, pool.room - pool.drained) end
        source.extra, left = offer(source, most, left)
        source.boundless = not bounded or pool.spend ~= nil
        pool.below, pool.drained = pool.below + source.extra, pool.drained + source.extra
      end
    end
  else
    for _, source in ipairs(sources) do
      if left > 0 and not source.row.rolled then
        source.extra, left = offer(source, source.over, left)
        source.extra = -source.extra
      end
    end
    for _, source in ipairs(bounded and sources or {}) do
      if left > 0 and not source.row.rolled then
        source.take, left = offer(source, source.back, left)
        source.take = -source.take
      end
    end
    if left > 0 and first and not bounded then first.credit, left = offer(first, 9007199254740991, left) end
  end
  plan.wanted = amount < 0 and amount or amount - held_back
  if leaves_range(sources) then return nil end
  return left + held_back
end
