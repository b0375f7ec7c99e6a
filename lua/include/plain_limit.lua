--[[
Read the one limit that binds a feature on the short way of a call: a spend limit in units, or a usage limit of
whatever is used (read_rules), which counts nothing else.

plain_limit(rules, extras, now_ms): texts of the customer; extras may be false.
Returns nil, or spend (units below zero, as text, empty where that is not limited) and, of a usage limit, room (units it
leaves), stop and what it has counted.
]]
--@include next_boundary
local function plain_limit(rules, extras, now)
  local spend = string.match(rules, '^s\t(%d+)\t0$')
  if spend then return spend end
  local limit, unit, every, anchor, behind = string.match(rules, '^w\t\t(%d+)\t(%a)\t(%d+)\t(%d+)\t{}(.*)$')
  if not limit or behind ~= '' and behind ~= '\nc\t1' then return nil end
  local stop, counted = next_boundary(tonumber(anchor), unit, tonumber(every), now), 0
  if extras then
    local at, units = string.match(extras, '^w\t\t(%d+)\t(%d+)$')
    at = tonumber(at)
    if not at or at > stop and stop - now <= 120000 then return nil end
    if at == stop then counted = tonumber(units) end
  end
  return '', math.max(0, limit - counted), stop, counted
end
