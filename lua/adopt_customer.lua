--[[
Give an id to a customer that was let go (release_customer), unless there is a customer of this id. Only the outbox
hears of it; the customer comes here from SQL, once SQL has the entry. Refused as create_customer is: while the outbox
holds an entry of this id that SQL does not know yet, and in a partition that has lost its seal.

KEYS[1] customer  hash
KEYS[2] outbox    stream
KEYS[3] seal      string

ARGV[1] head         env, tab, customer id
ARGV[2] request_id
ARGV[3] now_ms       caller's clock
ARGV[4] cursor       last stream id SQL had applied when it did not know the id
ARGV[5] seal         what the seal has to be, empty when it is not looked at
ARGV[6] internal_id
ARGV[7] seq          of the customer after this change
ARGV[8] document     JSON

Returns {status}: 1 done, 6 exists already, 8 wait for the writer, 15 the seal is broken
]]
--@include newer_entry
--@include entry_text

if redis.call('EXISTS', KEYS[1]) == 1 then return { 6 } end
if ARGV[5] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[5] then return { 15 } end
if newer_entry(KEYS[2], ARGV[4], ARGV[1], 1000) then return { 8 } end
redis.call('XADD', KEYS[2], '*', 'e',
  entry_text('customer', ARGV[1], ARGV[6], ARGV[7], ARGV[3], ARGV[2], '\nC\t' .. ARGV[8]))
return { 1 }
