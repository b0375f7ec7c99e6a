--[[
Whether a lock of this id is open, also one of another customer: an id is known once in a partition. One that a customer
left behind who has been deleted since is not.

is_held(keys, head, lock_id, id): head is 'env<tab>customer_id', id the customer's internal one.
]]
local function is_held(keys, head, lock_id, id)
  local env, customer = string.match(head, '^([^\t]*)\t(.*)$')
  local owner, of = string.match(redis.call('HGET', keys.locks, env .. '\t' .. lock_id) or '',
    '^([^\t]+)\t[^\t]*\t[^\t]*\t%-?%d+\t%d+\t%d+\t([^\t]*)\t')
  return owner ~= nil and not (owner == customer and of ~= id)
end
