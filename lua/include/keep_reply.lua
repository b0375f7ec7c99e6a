--[[
Keep a reply for when the call is repeated with its idempotency key.

keep_reply(reply_key, fingerprint, reply, keep_ms): fingerprint, of the call, is empty where it has no such key. Returns
the reply.
]]
--@include pack_reply
local function keep_reply(reply_key, fingerprint, reply, keep_ms)
  if fingerprint ~= '' then
    redis.call('SET', reply_key, fingerprint .. '\n' .. pack_reply(reply), 'PX', keep_ms)
  end
  return reply
end
