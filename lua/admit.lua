--[[
Count a call before anything else is done for it, where no script that does something can count it first.

KEYS[1] calls   string
KEYS[2] others  string, only where there are two limits

ARGV[1] terms  as count_call

Returns {status, told}: 1 done, 16 the limit is reached (nothing written); told as count_call
]]
--@include count_call

local over, told = count_call({ KEYS[1], KEYS[2] }, { ARGV[1] })
if over then return { 16, told } end
return { 1, told }
