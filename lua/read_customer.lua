--[[
Read a customer, or one of its entities, with everything it may spend. Reads only: due resets are computed, not written.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] due       sorted set

ARGV[1] now_ms    caller's clock
ARGV[2] entity    entity id, empty for the customer level

Returns {status, id, revision, document, subscriptions, entity, descriptions}: 1 done, 2 customer missing, 3 entity
missing, 5 entity-held rows are due (settle first); entity is its text in KEYS[2]; descriptions as describe_feature
]]
--@counted
--@no-writes
--@include read_feature
--@include describe_feature
--@include list_features

local keys = { customer = KEYS[1], entities = KEYS[2], due = KEYS[3] }
local now, entity = tonumber(ARGV[1]), ARGV[2]
local known = redis.call('HMGET', keys.customer, 'id', 'rev', 'doc', 'subs')
if not known[1] then return { 2 } end
local held = entity ~= '' and redis.call('HMGET', keys.entities, 'e:' .. entity, 'l:\t' .. entity) or { '' }
if not held[1] then return { 3 } end

local described = {}
for at, feature in ipairs(list_features(keys.customer, held[2])) do
  local state = read_feature(keys, feature, entity, now)
  if state.due or state.rolls then return { 5 } end
  described[at] = describe_feature(state, true)
end
return { 1, known[1], known[2], known[3], known[4], held[1], described }
