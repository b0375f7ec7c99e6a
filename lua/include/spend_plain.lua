--[[
Carry out a use that the row plain_row found has enough for, and more: nothing begins, ends or runs dry by it.

spend_plain(customer_key, entities_key, seq, feature, entity, amount, kind, live, slot, sums, period, used, total,
before, rest): seq is the customer's next, as text; 0 < amount < left; the rest as plain_row returns it, of a row that
more use changes no index of. Returns what they are now: used and total, as texts, live, slot and sums; and the entity
whose number it is, '' for the customer's.
]]
local function spend_plain(customer_key, entities_key, seq, feature, entity, amount,
  kind, live, slot, sums, period, used, total, before, rest)
  used = string.format('%d', used + amount)
  if kind == 'c' or kind == 'm' then
    live = before .. used .. rest
    redis.call('HSET', customer_key, 'seq', seq, 'v:' .. feature, live)
    return used, used, live, slot, sums, ''
  end
  total = string.format('%d', total + amount)
  if kind == 's' then
    live = total .. rest
    redis.call('HSET', entities_key, 'p:' .. feature .. '\t' .. entity, period .. ' ' .. used)
    redis.call('HSET', customer_key, 'seq', seq, 'v:' .. feature, live)
    return used, total, live, used, sums, entity
  end
  live, sums = used .. string.match(live, ' .*'), before .. total .. rest
  redis.call('HSET', entities_key, 'v:' .. feature .. '\t' .. entity, live)
  redis.call('HSET', customer_key, 'seq', seq, 'h:' .. feature, sums)
  return used, used, live, slot, sums, entity
end
