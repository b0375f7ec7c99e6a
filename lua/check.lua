--[[
Say whether an amount may be spent, and what is left. Decides with the same sources and the same rule as track with
overage_behavior reject. Reads only: a due reset is computed, not written.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] due       sorted set

ARGV[1] now_ms    caller's clock
ARGV[2] feature   feature id
ARGV[3] entity    entity id, empty for the customer level
ARGV[4] amount    required units, may be zero or negative

Returns {status, allowed, description}: 1 done, 2 customer missing, 3 entity missing, 5 entity-held rows are due (settle
first); allowed is 1 or 0; description as describe_feature
]]
--@include read_feature
--@include list_sources
--@include decide
--@include describe_feature

local keys = { customer = KEYS[1], entities = KEYS[2], due = KEYS[3] }
local entity, amount = ARGV[3], tonumber(ARGV[4])
local state = read_feature(keys, ARGV[2], entity, tonumber(ARGV[1]))
if not state then return { 2, 0, {} } end
if entity ~= '' and not state.entity then return { 3, 0, {} } end
if state.due then return { 5, 0, {} } end

local sources = list_sources(state)
local allowed = amount <= 0 or decide(sources, amount, 'reject') == 0
return { 1, allowed and 1 or 0, describe_feature(state) }
