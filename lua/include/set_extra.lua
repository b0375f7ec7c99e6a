--[[
Set one live extra of a feature: the units held by locks, or the counter of a usage window (gateway/keys.py).

set_extra(keys, state, scope, name, value): scope '' is the customer, else the entity the state was read for; name is
'k', or 'w<tab>key'; value is text, nil removes it. Keeps the text in state. The customer is plain no more.
]]
local function set_extra(keys, state, scope, name, value)
  local place = scope == '' and 'extras' or 'own_extras'
  local lines = {}
  for line in string.gmatch(state[place] or '', '[^\n]+') do
    -- A window that has ended counts nothing any more, not even for callers whose clocks are two minutes behind.
    local stop = tonumber(string.match(line, '^w\t%x*\t(%d+)'))
    if string.sub(line, 1, #name + 1) ~= name .. '\t' and not (stop and stop <= state.now - 120000) then
      lines[#lines + 1] = line
    end
  end
  if value then lines[#lines + 1] = name .. '\t' .. value end
  local text = table.concat(lines, '\n')
  state[place] = text ~= '' and text
  local key = scope == '' and keys.customer or keys.entities
  local field = 'x:' .. state.feature .. (scope == '' and '' or '\t' .. scope)
  if text == '' then
    redis.call('HDEL', key, field)
  else
    redis.call('HSET', key, field, text)
    if state.plain ~= false then redis.call('HSET', keys.customer, 'plain', '') end
    state.plain = false
  end
end
