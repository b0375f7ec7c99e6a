--[[
Record use of one feature or of several at once. All of it is applied or nothing is; what is applied and its outbox
entry are one step.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] order     sorted set
KEYS[4] marks     sorted set
KEYS[5] due       sorted set
KEYS[6] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] entity      entity id, empty for the customer level
ARGV[5] mode        cap, reject or overflow
ARGV[6] event_name  empty when a feature was named
ARGV[7] timestamp   when the use happened, Unix ms
ARGV[8] properties  JSON
ARGV[9...] feature, amount  pairs; units, negative gives back

Returns {status, applied units of each feature, descriptions, moves}: moves has for each feature triples of row line,
units moved (consumed > 0), next reset; 1 done, 2 customer missing, 3 entity missing, 4 denied
(nothing written; descriptions of what there is), 5 entity-held rows are due (settle first), 9 a balance would leave
the exact range (nothing written)
]]
--@include read_feature
--@include list_sources
--@include decide
--@include commit_feature
--@include describe_feature
--@include append_entry

local keys = {
  customer = KEYS[1], entities = KEYS[2], order = KEYS[3], marks = KEYS[4], due = KEYS[5], outbox = KEYS[6],
}
local head, request_id, now, entity, mode = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local parts, short = {}, false
for at = 9, #ARGV, 2 do
  local state = read_feature(keys, ARGV[at], entity, tonumber(now))
  if not state then return { 2, {}, {}, {} } end
  if entity ~= '' and not state.entity then return { 3, {}, {}, {} } end
  if state.due then return { 5, {}, {}, {} } end
  local sources, amount = list_sources(state), tonumber(ARGV[at + 1])
  local left = decide(sources, amount, mode)
  if not left then return { 9, {}, {}, {} } end
  short = short or amount > 0 and left > 0
  parts[#parts + 1] = { state = state, sources = sources, amount = amount, left = left }
end
if mode == 'reject' and short then
  local seen = {}
  for at, part in ipairs(parts) do seen[at] = describe_feature(part.state) end
  return { 4, {}, seen, {} }
end

local first = parts[1].state
local lines, fields, applied, described, moves, counter = {}, {}, {}, {}, {}, first.counter
for at, part in ipairs(parts) do
  local amount = part.amount
  applied[at] = amount < 0 and amount + part.left or amount - part.left
  if #part.sources == 0 then applied[at] = 0 end
  lines[#lines + 1] = string.format('E\t%s\t%s\t%s\t%d\t%d\t%s\t%s',
    part.state.feature, ARGV[6], entity, amount, applied[at], ARGV[7], ARGV[8])
  part.state.counter = counter
  commit_feature(keys, part.state, part.sources, lines, fields)
  counter = part.state.counter
  described[at] = describe_feature(part.state)
  moves[at] = part.state.moves or {}
end
append_entry(keys, 'track', head, first.id, first.seq + 1, counter, now, request_id, lines, fields)
return { 1, applied, described, moves }
