--[[
Write what a call changed of a customer's index: each of its texts once, however many entities the call went through.

close_index(index): index as read_index.
]]
local function close_index(index)
  if not index.changed then return end
  local index_key, kept, gone = index.key, {}, {}

  local function send(most)
    if #kept > most then
      redis.call('HSET', index_key, unpack(kept))
      kept = {}
    end
    if #gone > most then
      redis.call('HDEL', index_key, unpack(gone))
      gone = {}
    end
  end

  for field in pairs(index.changed) do
    local text = index.texts[field]
    if text then
      kept[#kept + 1], kept[#kept + 2] = field, text
    else
      gone[#gone + 1] = field
    end
    send(1000) -- of the thousands that unpack can take
  end
  send(0)
  index.changed = nil
end
