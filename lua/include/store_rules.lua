--[[
Store the rules of spending of one scope (text: gateway/lifecycle/rules.py), or remove those that are empty. An entity
keeps the names of all features it ever had rules of: no row of the customer may name them. With rules the customer is
plain no more.

store_rules(keys, entity, rules): entity '' is the customer level; rules are records of feature, char 31, text, with
char 30 between them, and may be empty. The names are in 'l:<tab>entity', char 30 after each.
]]
local function store_rules(keys, entity, rules)
  if rules == '' then return end
  local key, suffix = keys.customer, ''
  if entity ~= '' then key, suffix = keys.entities, '\t' .. entity end
  local known = entity ~= '' and redis.call('HGET', key, 'l:' .. suffix) or ''
  local names = known
  for feature, text in string.gmatch(rules, '([^\30\31]+)\31([^\30]*)') do
    if text == '' then
      redis.call('HDEL', key, 'l:' .. feature .. suffix)
    else
      redis.call('HSET', keys.customer, 'plain', '')
      redis.call('HSET', key, 'l:' .. feature .. suffix, text)
      local name = feature .. '\30'
      if not string.find('\30' .. names, '\30' .. name, 1, true) then names = names .. name end
    end
  end
  if entity ~= '' and names ~= known then redis.call('HSET', key, 'l:' .. suffix, names) end
end
