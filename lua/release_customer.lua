--[[
Let a customer without an id leave Redis, so that SQL may give it one. Nothing brings it back as it was: an entry says
so, and whoever read SQL before it has to wait for the writer. Of one that is not here, say whether SQL knew all there
was of it.

KEYS[1] customer  hash
KEYS[2] entities  hash
KEYS[3] index     hash
KEYS[4] due       sorted set
KEYS[5] outbox    stream

ARGV[1] head        env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms      caller's clock
ARGV[4] cursor      last stream id SQL had applied when it was read
ARGV[5] revision    of the customer when the caller read it, empty if it was not here
ARGV[6] document    JSON

Returns {status}: 1 done, 2 customer missing, 7 the customer has changed: read again, 8 wait for the writer
]]
--@include append_entry
--@include newer_entry

local keys = { customer = KEYS[1], outbox = KEYS[5] }
local known = redis.call('HMGET', keys.customer, 'id', 'seq', 'counter', 'rev')
if not known[1] then
  if newer_entry(keys.outbox, ARGV[4], ARGV[1], 1000) then return { 8 } end
  return { 2 }
end
if known[4] ~= ARGV[5] then return { 7 } end
append_entry(keys, 'customer', ARGV[1], known[1], tonumber(known[2]) + 1, tonumber(known[3]), ARGV[3], ARGV[2],
  { 'C\t' .. ARGV[6] }, {})
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return { 1 }
