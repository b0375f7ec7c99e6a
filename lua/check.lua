--[[
Say whether an amount may be used, and what is left. Decides with the same plan and the same rule as track with
overage_behavior reject, so the two cannot disagree. Reads only: a due reset is computed, not written.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] due       sorted set

ARGV[1] now_ms      caller's clock
ARGV[2] entity      entity id, empty for the customer level
ARGV[3] properties  JSON, for windows with a filter
ARGV[4] explain     1: say what decided
ARGV[5...] part     one, as read_parts; its amount is what is required, may be zero or negative

Returns {status, allowed, answering, required, descriptions, explanation} as one text (pack_reply), or the status alone
where it is not 1: 1 done, 2 customer missing, 3 entity missing, 5 rows are due (settle first); allowed is 1 when it may
be, else 0; answering is the place of the feature whose balance answers, required the amount in its units (hot-path
section 2.3); descriptions as describe_feature, explanation as explain_plan
]]
--@counted
--@no-writes
--@include read_parts
--@include make_plan
--@include decide
--@include to_pool
--@include describe_feature
--@include describe_plain
--@include explain_plan
--@include pack_reply
--@include plain_part
--@include plain_row
--@include plain_system
--@include read_both
--@include read_fields

local now, entity, explain = tonumber(ARGV[1]), ARGV[2], ARGV[4] == '1'
local feature, required, text, system = plain_part(ARGV, 5)
local read, held, paying, paying_held
if feature and not explain and (required > 0 or not system) then
  local units, cost, seen = required, text, nil
  if system then
    read, held, paying, paying_held = read_both(KEYS[1], KEYS[2], feature, system, entity)
    units, cost, seen = plain_system(ARGV, 5, read, held)
  else
    read, held = read_fields(KEYS[1], KEYS[2], feature, entity)
  end
  local found, found_held = paying or read, paying_held or held
  local kind, line, live, slot, sums, left, overdraws = plain_row(units and found, found_held, now)
  local allowed = kind and (units <= 0 or units <= left)
  if allowed or kind and not overdraws then
    local verdict = allowed and '1\0011\1' or '1\0010\1'
    verdict = seen and verdict .. '2\1' .. cost .. '\1' .. seen .. '\2' or verdict .. '1\1' .. cost .. '\1'
    return describe_plain(
      verdict, system or feature, kind, line, live, slot, sums, found, found_held, '\1')
  end
end
local keys = { customer = KEYS[1], entities = KEYS[2], due = KEYS[3] }
local parts, obstacle = read_parts(keys, ARGV, 5, entity, now, read, held, paying, paying_held)
if not parts then return obstacle end
local states, amount = parts[1].states, parts[1].amount
for _, state in ipairs(states) do
  if state.rolls then return 5 end -- else what rolls over would depend on who looked when
end
local plan = make_plan(states, parts[1].ratios, now, ARGV[3])

local answering = 1
required = amount
if #states > 1 then
  local owns, credits, enough
  for at, pool in ipairs(plan.pools) do
    local alone = { pools = { pool }, sources = {}, room = plan.room }
    for _, source in ipairs(plan.sources) do
      if source.pool == pool then alone.sources[#alone.sources + 1] = source end
    end
    if #alone.sources > 0 then
      if at == 1 then owns = 1 else credits = credits or at end
      if not enough and (amount <= 0 or decide(alone, amount, 'reject') == 0) then enough = at end
    end
  end
  answering = enough or credits or owns or 2
  local pool = plan.pools[answering]
  required = amount < 0 and -to_pool(pool, -amount) or to_pool(pool, amount)
end
local allowed = amount <= 0 or decide(plan, amount, 'reject') == 0
local described = {}
for at, state in ipairs(states) do described[at] = describe_feature(state, true) end
return pack_reply({ 1, allowed and 1 or 0, answering, required, described, explain and explain_plan(plan) or {} })
