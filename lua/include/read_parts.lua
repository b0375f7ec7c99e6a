--[[
Read what the parts of a use need: each names a feature, an amount, and the credit systems that pay for it too. A
feature that several parts name is read once, so that they see each other's numbers.

read_parts(keys, args, at, entity, now_ms, read, held, paying, paying_held): args from at on are, for each part,
feature, amount, n, and n times feature, num, den; read and held what has been fetched of the first feature already
(read_fields), paying and paying_held of the first system that pays for it (read_both).
Returns the list of parts {feature, amount, states, ratios}, with room for plan, applied, taken and counted; or, second,
the status of what stands in the way: 2 customer missing, 3 entity missing, 5 rows are due (settle first).
]]
--@include read_feature
local function read_parts(keys, args, at, entity, now, read, held, paying, paying_held)
  local parts, known = {}, {}
  while at <= #args do
    local stop = at + 2 + 3 * tonumber(args[at + 2])
    local states, ratios = {}, { { 1, 1 } }
    for place = at, stop, 3 do
      local feature = args[place]
      local state = known[feature] or read_feature(keys, feature, entity, now, read, held)
      read, held, paying = paying, paying_held, nil
      if not state then return nil, 2 end
      if entity ~= '' and not state.entity then return nil, 3 end
      if state.due then return nil, 5 end
      known[feature], states[#states + 1] = state, state
      if place > at then ratios[#ratios + 1] = { tonumber(args[place + 1]), tonumber(args[place + 2]) } end
    end
    parts[#parts + 1] = {
      feature = args[at], amount = tonumber(args[at + 1]), states = states, ratios = ratios,
      plan = false, applied = 0, taken = false, counted = false,
    }
    at = stop + 1
  end
  return parts
end
