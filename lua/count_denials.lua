--[[
Put what a process counted of denials into the outbox, once however often it is sent. A process numbers its counts for
a partition upwards and sends one again until it is answered; the last number it had taken is what tells the two apart.

KEYS[1] outbox   stream
KEYS[2] counted  string

ARGV[1] number   of this count, never 0
ARGV[2] keep_ms  how long the number is remembered
ARGV[3] entry    the outbox entry, whole

Returns {status}: 1 done, 13 replayed (the outbox has it already)
]]

if redis.call('GET', KEYS[2]) == ARGV[1] then return { 13 } end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return { 1 }
