--[[
End a lock (hot-path section 6.8): confirm what was held or another amount, give it back, or let it expire. What goes
back goes back last taken first, into exactly the rows it came from; a row that has begun a new period since has lost
it, and what came from a row that has ended is given back by the rule of a negative track. More than was held is used
by the rule of track with overage_behavior cap, or overflow if the check that made the lock said so; an entity that has
gone by then has what its customer holds, and nothing of other entities.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream
KEYS[6] locks     hash
KEYS[7] holds     sorted set

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] lock_id
ARGV[5] action      confirm, release, expire, or forget (of a customer that is gone)
ARGV[6] final       units to confirm, empty for those that were held
ARGV[7] properties  JSON, empty for those of the lock
ARGV[8] keep_ms     how long the lock is remembered once it has ended
ARGV[9...] part     one, as read_parts: the feature that was held; its amount is not looked at

Returns {status, ended}: 1 done (or, of one that had ended, forgotten), 2 customer missing, 5 rows are due (settle
first), 9 a balance would leave the exact range, 12 no such lock is open, or it had expired and this call let it; ended
says how it ended before ('confirm<tab>units'), empty when this call ended it or there was none
]]
--@include read_parts
--@include plan_part
--@include decide
--@include begin_plan
--@include commit_plan
--@include count_windows
--@include unwind_lock
--@include read_paid
--@include join_pools
--@include append_entry
--@include measure
--@include note_alerts

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
  locks = KEYS[6], holds = KEYS[7],
}
local head, now, lock_id, action = ARGV[1], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local field, member = string.match(head, '^[^\t]*') .. '\t' .. lock_id, head .. '\t' .. lock_id
local receipt = redis.call('HGET', keys.locks, field)
local owner, ended = string.match(receipt or '', '^\t([^\t]*)\t([^\t]*\t[^\t]*)\t')
local of_head = string.match(head, '\t(.*)$')
if action == 'expire' or action == 'forget' then
  local due = redis.call('ZSCORE', keys.holds, member)
  if due and tonumber(due) > now then return { 1, '' } end -- whoever asks has read an older hold of this name
  owner = owner or string.match(receipt or '', '^([^\t]*)')
  if action == 'forget' or ended or owner ~= of_head then -- its customer is gone, or it was kept for long enough
    if owner == of_head then redis.call('HDEL', keys.locks, field) end
    redis.call('ZREM', keys.holds, member)
    return { 1, ended or '' }
  end
end
if ended then return { 12, owner == of_head and ended or '' } end
if not receipt then return { 12, '' } end
local customer, feature, entity, units, expires, last, id, sent = string.match(
  receipt, '^([^\t]*)\t([^\t]*)\t([^\t]*)\t(%-?%d+)\t(%d+)\t(%d+)\t([^\t]*)\t([^\n]*)')
if customer ~= of_head then return { 12, '' } end
if tonumber(expires) <= now then action = 'expire' end
units = tonumber(units)
local final = action == 'confirm' and tonumber(ARGV[6]) or action == 'confirm' and units or 0
local properties = ARGV[7] ~= '' and ARGV[7] or sent

local number = string.match(redis.call('HGET', keys.entities, 'e:' .. entity) or '', '^%d+\t(%d+)')
local gone = entity ~= '' and (not number or tonumber(number) > tonumber(last)) -- what was its own went with it
local scope = gone and '' or entity
local parts, obstacle = read_parts(keys, ARGV, 9, scope, now)
if not parts then return { obstacle, '' } end
local part, lines, fields = parts[1], {}, {}
if part.feature ~= feature then return { 12, '' } end -- another one of this name, made since it was looked for
local state = part.states[1]
if id ~= state.id then -- of a customer that was deleted since
  redis.call('HDEL', keys.locks, field)
  redis.call('ZREM', keys.holds, member)
  return { 12, '' }
end
local others
others, obstacle = read_paid(keys, part, receipt, scope, now)
if not others then return { obstacle, '' } end

local same_way = final ~= 0 and (final > 0) == (units > 0)
local back = 0
if not same_way then
  back = math.abs(units)
elseif math.abs(final) < math.abs(units) then
  back = math.abs(units) - math.abs(final)
end
local forward = final - (units < 0 and back - math.abs(units) or math.abs(units) - back)
local mode = forward ~= 0 and string.find(receipt, '\n\t\toverflow\t', 1, true) and 'overflow' or 'cap'
local plan = join_pools(plan_part(part, gone, now, properties), others)
local left = decide(plan, forward, mode)
if not left then return { 9, '' } end -- nothing has been written yet
local counter = begin_plan(keys, plan, state.counter, lines)
local event = #lines + 1
lines[event] = '' -- until all is known
local before
if forward > 0 or back > 0 and units < 0 then -- else nothing is used that was not
  before = measure(keys, plan_part(part, false, now, properties))
end
local lost, given = unwind_lock(keys, part, others, receipt, back, lines)
local amount = forward - lost
if back > 0 then
  plan = join_pools(plan_part(part, gone, now, properties), others)
  left = decide(plan, amount, mode)
  if not left then left, plan.sources = math.abs(amount), {} end -- at the edge of the exact range it stays used
end
local applied = amount < 0 and amount + left or amount - left
counter = commit_plan(keys, plan, counter, lines, fields)
count_windows(keys, plan, applied, lines)
if before then
  local after = plan_part(part, false, now, properties)
  note_alerts(after, before, measure(keys, after), lines)
end
if final ~= units then
  local net = applied - given
  lines[event] = string.format('E\t%s\t\t%s\t%d\t%d\t%d\t%s', feature, entity, final - units, net, now, properties)
else
  table.remove(lines, event)
end
redis.call('HSET', keys.locks, field, string.format('\t%s\t%s\t%s\t%s', customer, action, ARGV[6], feature))
redis.call('ZADD', keys.holds, string.format('%d', now + tonumber(ARGV[8])), member)
local outcome = action == 'confirm' and 'confirmed' or action == 'release' and 'released' or 'expired'
lines[#lines + 1] = string.format('L\t%s\t%s\t%s\t%s\t%d\t%d\t', lock_id, feature, entity, outcome, now, final)
append_entry(keys, 'lock', head, state.id, state.seq + 1, counter, now, ARGV[2], lines, fields)
if action ~= ARGV[5] then return { 12, '' } end
return { 1, '' }
