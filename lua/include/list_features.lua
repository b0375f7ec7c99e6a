--[[
The features a customer or one of its entities has rows of, in name order.

list_features(customer_key) returns the list of feature ids.
]]
local function list_features(customer_key)
  local seen, names = {}, {}
  for _, field in ipairs(redis.call('HKEYS', customer_key)) do
    local name = string.match(field, '^[rh]:(.*)$')
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end
