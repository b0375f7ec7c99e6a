--[[
Read all that one call may see of a feature: a fixed handful of fields, however many entities the customer has.

read_feature(keys, feature, entity, now_ms, read, held): entity '' is the customer level; read and held where they have
been fetched already (read_fields).
Returns nil when the customer is not in Redis, else a table:
  feature, id, seq, counter, rows, static           the customer's rows
  held, rolled                                      sums over rows entities hold, and over their rollovers; or nil
  plain                                             whether the customer is (gateway/keys.py)
  rules, extras                                     billing controls, window counters and holds, as texts or nil
  rows[n].band, .copies                             of a per-entity row: order and number of its entities (customer)
  due                                               true when rows wait to be settled first
  rolls                                             true when a reset leaves a rollover, which reading makes real too
  entity = {band, number, feature}, own, own_static, own_rules, own_extras, slots     (entity level);
  entity nil: not known
]]
--@include read_fields
--@include parse_rows
--@include parse_held
--@include parse_pairs
--@include roll_over
local function read_feature(keys, feature, entity, now, read, held)
  if not read then read, held = read_fields(keys.customer, keys.entities, feature, entity) end
  if not read[1] then return nil end
  local rows = parse_rows(read[4], read[5], now)
  local state = {
    feature = feature, id = read[1], seq = tonumber(read[2]), counter = tonumber(read[3]),
    static = read[4], rows = rows, own = {}, slots = {}, now = now, plain = read[10],
  }
  if read[6] then state.held = parse_held(read[6]) end
  if read[7] then state.rolled = parse_held(read[7]) end
  if read[8] then state.rules = read[8] end
  if read[9] then state.extras = read[9] end
  if rows.rolling then state.due = true end
  if rows.rolls then state.rows, state.rolls = roll_over(rows, now), true end
  if state.rolled and not state.due then state.due = redis.call('HEXISTS', keys.customer, 'z:') == 1 end
  if entity == '' then
    for _, row in ipairs(state.rows) do
      if row.kind == 'p' then
        local band, count = string.match(
          redis.call('HGET', keys.customer, 'n:' .. row.entity_feature) or '0 0', '^(%d+) (%d+)$')
        row.band, row.copies = tonumber(band), tonumber(count)
      end
    end
    if state.held or state.rolled then
      state.due = state.due
        or #redis.call('ZRANGEBYSCORE', keys.due, '-inf', string.format('%d', now), 'LIMIT', 0, 1) > 0
    end
    return state
  end
  if not held[1] then return state end
  local band, number, of_feature = string.match(held[1], '^(%d+)\t(%d+)\t([^\t]*)\t')
  state.entity = { id = entity, band = tonumber(band), number = tonumber(number), feature = of_feature }
  state.slots = parse_pairs(held[2])
  state.own_static = held[3]
  if held[5] then state.own_rules = held[5] end
  if held[6] then state.own_extras = held[6] end
  state.own = parse_rows(held[3], held[4], now)
  if state.own.rolls then state.own, state.rolls = roll_over(state.own, now), true end
  return state
end
