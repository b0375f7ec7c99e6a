--[[
Carry out what is due for rows that entities hold: resets, and the end of rows that expired. Work is bounded; the
caller repeats it until nothing is left. Each row is settled once a period, whoever comes first.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] marks     sorted set
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] limit       entities to settle in this call

Returns {status, settled}: 1 done, 2 customer missing; settled less than the limit means nothing is left
]]
--@include read_feature
--@include begin_periods
--@include store_own
--@include format_held
--@include append_entry

local keys = { customer = KEYS[1], entities = KEYS[2], marks = KEYS[3], due = KEYS[4], outbox = KEYS[5] }
local now = ARGV[3]
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter')
if not known[1] then return { 2, 0 } end
local lines, counter, ended = {}, tonumber(known[3]), false
local due = redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'LIMIT', 0, tonumber(ARGV[4]))
for _, member in ipairs(due) do
  local feature, entity = string.match(member, '^([^\t]*)\t(.*)$')
  local state = read_feature(keys, feature, entity, tonumber(now))
  state.counter = counter
  local before, rows, texts = own_totals(state.own, true), {}, {}
  local text = string.gmatch(state.own_static, '[^\n]+')
  begin_periods(keys, state, state.own, entity, lines)
  for _, row in ipairs(state.own) do
    local line = text()
    if row.gone then
      lines[#lines + 1] = string.format('G\t%s\t%s', feature, row.id)
      ended = true
    else
      rows[#rows + 1], texts[#texts + 1] = row, line
    end
  end
  if #rows > 0 then redis.call('HSET', keys.entities, 'h:' .. member, table.concat(texts, '\n')) end
  store_own(keys, state, entity, state.entity.number, before, rows)
  redis.call('HSET', keys.customer, 'h:' .. feature, format_held(state.held))
  counter = state.counter
end
if ended then redis.call('HINCRBY', keys.customer, 'rev', 1) end -- whoever decides on rows that are gone decides again
if #lines > 0 then
  append_entry(keys, 'reset', ARGV[1], known[1], tonumber(known[2]) + 1, counter, now, ARGV[2], lines, {})
end
return { 1, #due }
