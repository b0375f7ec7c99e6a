--[[
Carry out what is due for rows that entities hold, or whose slots roll over: resets, rollovers, and the end of rows that
expired. Work is bounded; the caller repeats it until nothing is left. Each row is settled once a period, whoever comes
first. While what rolls over is made of some slots only, field z: of the customer has the time it is made at: callers
whose clocks are behind find it due as well, and go on with it as of that time.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] limit       entities to settle in this call, their slots included

Returns {status, settled}: 1 done, 2 customer missing; settled less than the limit means nothing is left
]]
--@include read_feature
--@include begin_periods
--@include renew_rows
--@include store_own
--@include sum_fields
--@include roll_slots
--@include carry_slots
--@include begin_slots
--@include list_features
--@include append_entry
--@include close_index
--@include own_totals

local keys = {
  customer = KEYS[1], entities = KEYS[2], index = { key = KEYS[3] }, due = KEYS[4], outbox = KEYS[5],
}
local limit = tonumber(ARGV[4])
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter', 'z:')
if not known[1] then return { 2, 0 } end
local begun = known[4]
local now = string.format('%d', math.max(tonumber(ARGV[3]), tonumber(begun or '0')))
local lines, counter, fields = {}, tonumber(known[3]), {}
local due = redis.call('ZRANGEBYSCORE', keys.due, '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(due) do
  local feature, entity = string.match(member, '^([^\t]*)\t(.*)$')
  local state = read_feature(keys, feature, entity, tonumber(now))
  state.counter = counter
  local before, before_rolled = own_totals(state.own, true)
  begin_periods(keys, state, state.own, entity, lines)
  local rows = renew_rows(keys, state, state.own, entity, lines)
  store_own(keys, state, entity, state.entity.number, before, before_rolled, rows)
  sum_fields(state, fields)
  if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  counter, fields = state.counter, {}
end

local settled = #due
if settled < limit and begun then
  redis.call('HDEL', keys.customer, 'z:')
  begun = nil
end
for _, feature in ipairs(settled < limit and list_features(keys.customer) or {}) do
  local state = read_feature(keys, feature, '', tonumber(now))
  state.counter = counter
  if state.rows.rolling or state.rows.renew then
    for _, row in ipairs(state.rows) do
      if row.kind == 'p' and row.fresh and not row.gone and settled < limit then
        settled = settled + roll_slots(keys, state, row, tonumber(now), limit - settled, lines)
        local keeps = settled < limit and string.find(row.flags, 'k', 1, true)
        if keeps then settled = settled + carry_slots(keys, state, row, limit - settled) end
      end
    end
    if settled < limit then
      begin_slots(keys, state, lines)
    elseif not begun then
      redis.call('HSET', keys.customer, 'z:', now)
    end
    sum_fields(state, fields)
    if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
  end
  counter, fields = state.counter, {}
end
if #lines > 0 then
  append_entry(keys, 'reset', ARGV[1], known[1], tonumber(known[2]) + 1, counter, now, ARGV[2], lines, {})
else
  close_index(keys.index)
end
return { 1, settled }
