--[[
The features a customer or one of its entities has rows or rules of, or counts for, in name order.

list_features(customer_key, more) returns the list of feature ids; more are the names store_rules keeps of an entity,
or false.
]]
local function list_features(customer_key, more)
  local seen, names = {}, {}
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for _, field in ipairs(redis.call('HKEYS', customer_key)) do add(string.match(field, '^[rhlx]:(.*)$')) end
  for name in string.gmatch(more or '', '[^\30]+') do add(name) end
  table.sort(names)
  return names
end
