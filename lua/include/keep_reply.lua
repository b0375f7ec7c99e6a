--[[
Keep a reply for when the call is repeated with its idempotency key.

keep_reply(reply_key, fingerprint, reply, keep_ms): fingerprint, of the call, is empty where it has no such key; reply
is a text (pack_reply). Returns the reply.
]]
local function keep_reply(reply_key, fingerprint, reply, keep_ms)
  if fingerprint ~= '' then
    redis.call('SET', reply_key, fingerprint .. '\n' .. reply, 'PX', keep_ms)
  end
  return reply
end
