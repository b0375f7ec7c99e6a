--[[
Read all that one call may see of a feature: a fixed handful of fields, however many entities the customer has.

read_feature(keys, feature, entity, now_ms): entity '' is the customer level.
Returns nil when the customer is not in Redis, else a table:
  feature, id, seq, counter, rows, static, live     the customer's rows
  held                                              sums over entity-held rows, or nil
  counts[row]                                       entities of a per-entity row (customer level)
  due                                               true when entity-held rows wait to be settled (customer level)
  entity = {band, number, feature}, own, own_static, own_live, slots     (entity level); entity nil: not known
]]
--@include parse_rows
--@include parse_held
--@include parse_pairs
local function read_feature(keys, feature, entity, now)
  local read = redis.call(
    'HMGET', keys.customer, 'id', 'seq', 'counter', 'r:' .. feature, 'v:' .. feature, 'h:' .. feature)
  if not read[1] then return nil end
  local state = {
    feature = feature, id = read[1], seq = tonumber(read[2]), counter = tonumber(read[3]),
    static = read[4], live = read[5], rows = parse_rows(read[4], read[5], now), held = parse_held(read[6]),
    counts = {}, bands = {}, own = {}, slots = {},
  }
  if entity == '' then
    for at, row in ipairs(state.rows) do
      if row.kind == 'p' then
        local band, count = string.match(
          redis.call('HGET', keys.customer, 'n:' .. row.entity_feature) or '0 0', '^(%d+) (%d+)$')
        state.bands[at], state.counts[at] = tonumber(band), tonumber(count)
      end
    end
    if state.held then
      state.due = #redis.call('ZRANGEBYSCORE', keys.due, '-inf', string.format('%d', now), 'LIMIT', 0, 1) > 0
    end
    return state
  end
  local field = feature .. '\t' .. entity
  local held = redis.call('HMGET', keys.entities, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field)
  if not held[1] then return state end
  local band, number, of_feature = string.match(held[1], '^(%d+)\t(%d+)\t([^\t]*)\t')
  state.entity = { id = entity, band = tonumber(band), number = tonumber(number), feature = of_feature }
  state.slots = parse_pairs(held[2])
  state.own_static, state.own_live = held[3], held[4]
  state.own = parse_rows(held[3], held[4], now)
  return state
end
