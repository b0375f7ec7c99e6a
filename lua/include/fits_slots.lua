--[[
Say whether what rows give to every entity stays exact together: a per-entity row is a slot for each, so its grant
counts as often as there are entities of its feature.

fits_slots(keys, text, more, feature): text of rows, as it is stored; more entities than there are now; only rows for
entities of feature, nil for all. Returns true or false.
]]
local function fits_slots(keys, text, more, feature)
  for line in string.gmatch(text, '[^\n]+') do
    local kind, grant, of = string.match(
      line, '^[^\t]*\t(%a)\t(%d+)\t%a*\t%a*\t%d+\t%d+\t%d+\t%d*\t[^\t]*\t([^\t]*)\t')
    if kind == 'p' and (not feature or feature == of) then
      local entities = string.match(redis.call('HGET', keys.customer, 'n:' .. of) or ' 0', ' (%d+)$')
      if tonumber(grant) * (tonumber(entities) + more) >= 9007199254740992 then return false end
    end
  end
  return true
end
