--[[
Record use of one feature or of several at once, whoever of their credit systems pays. All of it is applied or nothing
is; what is applied, the windows it counts in, the hold it makes, the reply kept for a repeated call and the outbox
entry are one step.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream
KEYS[6] locks     hash, only when ARGV[6] asks for a hold or KEYS[8] is given
KEYS[7] holds     sorted set, likewise
KEYS[8] reply     string, only when ARGV[6] has a fingerprint

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] entity      entity id, empty for the customer level
ARGV[5] properties  JSON
ARGV[6] manner      empty for mode cap, a named feature, now and nothing else; or as read_manner
ARGV[7...] parts    as read_parts

Returns {status, applied units of each part, descriptions, moves} as one text (pack_reply), or the status alone where
there is no more to say: descriptions has for each part one of each of its pools; moves has for each part lists of
feature, row line, units moved (consumed > 0), next reset, or = where the one row described gave all of it; 1 done,
2 customer missing, 3 entity missing, 4 denied (nothing written; descriptions of what there is), 5 rows are due (settle
first), 9 a balance would leave the exact range, 11 the lock exists, 13 replayed (the rest is that of the first reply),
14 the idempotency key belongs to another call (nothing written for any of these)
]]
--@counted
--@include read_manner
--@include read_parts
--@include make_plan
--@include decide_part
--@include preview_plan
--@include begin_plan
--@include commit_plan
--@include count_windows
--@include measure
--@include note_alerts
--@include is_held
--@include keep_lock
--@include add_answer
--@include leave_answers
--@include append_entry
--@include keep_reply
--@include pack_reply
--@include describe_plain
--@include count_plain
--@include plain_part
--@include plain_row
--@include plain_system
--@include read_both
--@include read_fields
--@include spend_plain
--@include stays_allowed

local head, request_id, now, entity, properties = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local mode, event_name, timestamp, dry, lock_id, expires, fingerprint, keep_ms, of_check = read_manner(ARGV[6], now)
if fingerprint ~= '' then
  local kept = redis.call('GET', KEYS[8])
  if kept then
    if string.sub(kept, 1, #fingerprint + 1) ~= fingerprint .. '\n' then return 14 end
    return '13' .. string.sub(kept, #fingerprint + 3)
  end
end
local moment = tonumber(now)
local feature, amount, text, system, read, held, paying, paying_held = plain_part(ARGV, 7)
if feature and amount > 0 and not dry and not lock_id then
  local units, cost, seen, least = amount, text, nil, 1
  if system then
    read, held, paying, paying_held = read_both(KEYS[1], KEYS[2], feature, system, entity)
    units, cost, seen, least = plain_system(ARGV, 7, read, held)
  else
    read, held = read_fields(KEYS[1], KEYS[2], feature, entity)
  end
  local found, found_held = paying or read, paying_held or held
  local kind, row, live, slot, sums, left, _, id, period, used, total, before, rest, line, most, stop, counted
    = plain_row(units and found, found_held, moment)
  if id and units + least <= (most or left) then
    local seq, payer, owner = string.format('%d', read[2] + 1), system or feature, nil
    used, total, live, slot, sums, owner = spend_plain(
      KEYS[1], KEYS[2], seq, payer, entity, units, kind, live, slot, sums, period, used, total, before, rest)
    local window = stop and count_plain(KEYS[1], payer, found, stop, counted + units) or ''
    -- In one go: each text that is made on the way costs.
    redis.call('XADD', KEYS[5], '*', 'e', 'track\t' .. head .. '\t' .. read[1] .. '\t' .. seq .. '\t' .. now .. '\t'
      .. request_id .. '\nE\t' .. feature .. '\t' .. event_name .. '\t' .. entity .. '\t' .. text .. '\t' .. text
      .. '\t' .. timestamp .. '\t' .. properties .. '\nD\t' .. payer .. '\t' .. id .. '\t' .. owner
      .. '\t' .. period .. '\t' .. cost .. '\t' .. used .. '\t' .. total .. window)
    local gave = (seen or line) and '\1' .. payer .. '\4' .. (line or row) .. '\4' .. cost .. '\4'
      .. string.match(line and rest or live, ' 0 %d+ %d+ (%d+)') or '\1='
    return keep_reply(KEYS[8], fingerprint, describe_plain('1\1' .. text .. '\1' .. (seen and seen .. '\3' or ''),
      payer, kind, row, live, slot, sums, found, found_held, gave), keep_ms)
  end
end

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
  locks = KEYS[6], holds = KEYS[7],
}
local parts, obstacle = read_parts(keys, ARGV, 7, entity, moment, read, held, paying, paying_held)
if not parts then return obstacle end
if lock_id and is_held(keys, head, lock_id, parts[1].states[1].id) then return 11 end
if dry or #parts > 1 then -- all of them can be applied, or none is
  local reply = { 1, {}, {}, {} }
  for _, part in ipairs(parts) do
    obstacle = decide_part(part, mode, moment, properties, of_check) or obstacle
    if obstacle == 9 then return 9 end
    preview_plan(part.plan, part.applied, dry and keys)
    add_answer(reply, part)
  end
  leave_answers(reply, parts)
  if dry and not obstacle then return pack_reply(reply) end
  parts = read_parts(keys, ARGV, 7, entity, moment)
else
  obstacle = decide_part(parts[1], mode, moment, properties, of_check)
  if obstacle == 9 then return 9 end
end
if obstacle == 4 then
  local reply = { 4, {}, {}, {} }
  for _, part in ipairs(parts) do add_answer(reply, part) end
  return pack_reply({ 4, {}, reply[3], {} })
end

local first, reply = parts[1].states[1], { 1, {}, {}, {} }
local lines, fields, counter = {}, {}, first.counter
for _, part in ipairs(parts) do -- what has ended or begun by itself is told before any event
  counter = begin_plan(keys, part.plan or make_plan(part.states, part.ratios, moment, properties), counter, lines)
end
for _, part in ipairs(parts) do
  if #parts > 1 then decide_part(part, mode, moment, properties) end
  local plan, before = part.plan, nil
  if not stays_allowed(plan, part.applied) then
    before = measure(keys, make_plan(part.states, part.ratios, moment, properties))
  end
  lines[#lines + 1] = string.format('E\t%s\t%s\t%s\t%d\t%d\t%s\t%s',
    part.feature, event_name, entity, part.amount, part.applied, timestamp, properties)
  plan.noting = lock_id ~= nil
  counter, part.taken = commit_plan(keys, plan, counter, lines, fields)
  part.counted = count_windows(keys, plan, part.applied, lines)
  if before then
    local after = make_plan(part.states, part.ratios, moment, properties)
    note_alerts(after, before, measure(keys, after), lines)
  end
  if lock_id then keep_lock(keys, head, entity, lock_id, expires, properties, part, lines, of_check and mode) end
  add_answer(reply, part)
end
leave_answers(reply, parts)
append_entry(keys, 'track', head, first.id, first.seq + 1, counter, now, request_id, lines, fields)
return keep_reply(KEYS[8], fingerprint, pack_reply(reply), keep_ms)
