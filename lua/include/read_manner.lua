--[[
Read in which manner a use is recorded: one text, since most are recorded in the same and each argument costs.

read_manner(text, now_ms): text is empty for mode cap and nothing else, or, joined by the character 1, mode (cap, reject
or overflow), event name (empty when a feature was named), when the use happened (Unix ms), 1 to decide and answer
without writing anything, lock id, tab and when it expires (Unix ms), with one more tab where a check asks for it, what
identifies the call under its idempotency key, and how long its reply is kept (ms). What is not asked for is empty or
0.
Returns mode, event name, timestamp, dry, lock id, its expiry, fingerprint, keep_ms, of_check; the lock id, its expiry
and of_check may be nil, and of_check is true for the lock of a check.
]]
local function read_manner(text, now)
  if text == '' then return 'cap', '', now, false, nil, nil, '', '0' end
  local mode, event_name, timestamp, dry, lock, fingerprint, keep_ms = string.match(
    text, '^(%l+)\1([^\1]*)\1(%-?%d+)\1(1?)\1([^\1]*)\1([^\1]*)\1(%d+)$')
  local lock_id, expires, more = string.match(lock, '^([^\t]*)\t(%d+)(\t?)$')
  return mode, event_name, timestamp, dry == '1', lock_id, expires, fingerprint, keep_ms, more == '\t'
end
