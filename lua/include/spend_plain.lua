--[[
Carry out a use that the row plain_row found has enough for, and more: nothing begins, ends or runs dry by it.

spend_plain(entities_key, row, seen, entity, amount, text): row and seen of plain_row, of a row that has begun;
0 < amount < left, and as text. Returns field and value of the customer that change, and the line of the outbox; seen
then shows what is left behind.
]]
local function spend_plain(entities_key, row, seen, entity, amount, text)
  local feature, kind, used = seen[1], row.kind, string.format('%d', row.used + amount)
  local total = kind == 'c' and used or string.format('%d', row.total + amount)
  local field, value, of = 'v:' .. feature, row.before .. total .. row.after, entity
  if kind == 'c' then
    seen[3], of = value, ''
  elseif kind == 's' then
    redis.call('HSET', entities_key, 'p:' .. feature .. '\t' .. entity, row.period .. ' ' .. used)
    seen[3], seen[8] = value, used
  else
    local live = used .. string.match(seen[7], ' .*')
    redis.call('HSET', entities_key, 'v:' .. feature .. '\t' .. entity, live)
    field, seen[4], seen[7], total = 'h:' .. feature, value, live, used
  end
  return field, value, 'D\t' .. feature .. '\t' .. row.id .. '\t' .. of .. '\t' .. row.period .. '\t' .. text .. '\t'
    .. used .. '\t' .. total
end
