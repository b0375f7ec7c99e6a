--[[
Read the billing controls that bind a call on one feature, with the state of their windows (hot-path section 3.6). Each
control of the entity takes the place of the customer's own, also one that is not enabled (h); an inherited window has
one counter for all entities. Of callers whose clocks differ by up to two minutes all count in the window that whoever
is ahead has begun.

read_rules(state, now_ms, properties): properties is JSON, looked at only for windows with a filter, whose text is also
the number or the boolean it spells.
Returns overage ('1', '0' or nil), spend ({amount, share} or nil), alone (true when entities may not spend from the
customer), credits (true when windows count what leaves the rows), windows (list of {scope, key, limit, stop, used,
filter}; scope '' or the entity) and alerts (list of {scope, kind, threshold, name}).
]]
--@include cycle_anchor
--@include next_boundary
local function read_rules(state, now, properties)
  local rules = { windows = {}, alerts = {} }
  local places, hidden, sent = {}, {}, nil
  local own_rules = state.entity and state.own_rules
  for key in string.gmatch('\n' .. (own_rules or ''), '\nh\tw\t(%x*)') do hidden[key] = true end

  local function matches(filter)
    if filter == '{}' then return true end
    sent = sent or cjson.decode(properties)
    for name, wanted in pairs(cjson.decode(filter)) do
      local value, found = sent[name], false
      for _, one in ipairs(type(wanted) == 'table' and wanted or { wanted }) do
        found = found or one == value or type(value) == 'number' and tonumber(one) == value
          or value == true and one == 'true' or value == false and one == 'false'
      end
      if value == nil or not found then return false end
    end
    return true
  end

  local function window(rest, scope, extras)
    local key, limit, unit, every, follows, anchor, filter = string.match(
      rest, '^(%x*)\t(%d+)\t(%a)\t(%d+)\t(c?)(%d+)\t(.*)$')
    if scope == '' and hidden[key] or not matches(filter) then return end
    anchor = follows == 'c' and cycle_anchor(state.rows, state.entity.feature) or tonumber(anchor)
    every = tonumber(every)
    local stop, used = next_boundary(anchor, unit, every, now), 0
    for of_key, at, units in string.gmatch(extras or '', 'w\t(%x*)\t(%d+)\t(%d+)') do
      at = tonumber(at)
      if of_key == key and (at == stop
        or at > stop and stop - now <= 120000 and at == next_boundary(anchor, unit, every, stop)) then
        stop, used = at, tonumber(units)
      end
    end
    used = used + (state.counted and state.counted[scope .. '\t' .. key] or 0) -- by a preview
    local place = places[key] or #rules.windows + 1
    places[key] = place
    rules.windows[place] = {
      scope = scope, key = key, limit = tonumber(limit), stop = stop, used = used, filter = filter,
    }
  end

  local function read(text, scope, extras)
    for letter, rest in string.gmatch(text or '', '(%a)\t([^\n]*)') do
      if letter == 'o' then
        rules.overage = rest
      elseif letter == 's' then
        local amount, share = string.match(rest, '^(%d+)\t(%d+)$')
        rules.spend = { amount = tonumber(amount), share = share == '1' }
      elseif letter == 'w' then
        window(rest, scope, extras)
      elseif letter == 'h' then
        if rest == 's' then rules.spend = nil end
      elseif letter == 'c' then
        rules.credits = true
      elseif letter == 'd' then
        rules.alone = true
      elseif letter == 'a' then
        local kind, threshold, name = string.match(rest, '^(%a[%a_]*)\t(%d+)\t(.*)$')
        rules.alerts[#rules.alerts + 1] = { scope = scope, kind = kind, threshold = tonumber(threshold), name = name }
      end
    end
  end
  read(state.rules, '', state.extras)
  if own_rules then read(own_rules, state.entity.id, state.own_extras) end
  return rules
end
