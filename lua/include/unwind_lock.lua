--[[
Take a hold back, last taken first, into exactly the rows it came from, whatever their ceilings; and end it: what it
held is held no longer, and the windows it counted in get their room back for what goes back.

unwind_lock(keys, part, others, receipt, back, lines): part as read_parts, others as read_paid, receipt as keep_lock
wrote it, back the units of the feature that go back, without sign. Changes the states in memory; commit_plan writes the
rows of their own scope.
Returns the units, with their sign, whose row has ended: the caller gives them back by the rule of the day; and those
that went back.
]]
--@include to_pool
--@include from_pool
--@include move_row
--@include move_slot
--@include parse_rows
--@include parse_pairs
--@include store_own
--@include set_extra
--@include own_totals
local function unwind_lock(keys, part, others, receipt, back, lines)
  local items, windows, pools, held, given = {}, {}, {}, {}, {}
  local owner, all = part.states[1].entity, back
  local units_held, last = string.match(receipt, '^[^\t]*\t[^\t]*\t[^\t]*\t(%-?%d+)\t%d+\t(%d+)\t')
  units_held, last = tonumber(units_held), tonumber(last)
  for at, state in ipairs(part.states) do
    pools[state.feature] = { state = state, num = part.ratios[at][1], den = part.ratios[at][2], taken = 0, paid = 0 }
  end
  for _, state in ipairs(others) do pools[state.feature] = { state = state, taken = 0, paid = 0 } end
  back = back - math.abs(units_held) -- what rounded to nothing was taken last, of no row, and goes back first
  for line in string.gmatch(string.match(receipt, '\n(.*)$') or '', '[^\n]+') do
    local feature, id, entity, period, delta, covered = string.match(
      line, '^([^\t]+)\t([^\t]*)\t([^\t]*)\t(%d+)\t(%-?%d+)\t(%d+)$')
    local pool = pools[feature]
    if pool then
      local item = {
        feature = feature, pool = pool, id = id, entity = entity, period = tonumber(period), delta = tonumber(delta),
        covered = tonumber(covered), taken = pool.taken, paid = pool.paid,
      }
      pool.taken, pool.paid = pool.taken + math.abs(item.delta), pool.paid + item.covered
      back, items[#items + 1] = back + item.covered, item
    else
      windows[#windows + 1] = line
    end
  end

  local function row_of(rows, id)
    for _, row in ipairs(rows) do
      if row.id == id then return row end
    end
  end

  local function number_of(text) -- of the entity that held the units, not of one that has its id now
    local number = text and tonumber(string.match(text, '^%d+\t(%d+)'))
    return number and number <= last and number or nil
  end

  -- Puts units back into one row. Returns whether the row is still there, and whether the units are: a new period has
  -- lost them, and so has an entity that has gone.
  local function put_back(state, id, entity, period, units)
    local row = row_of(state.rows, id)
    if entity == '' then
      local same = row and row.period == period
      if same then state.changed = move_row(state, row, '', -units, lines) or state.changed end
      return row ~= nil, same
    end
    local field = state.feature .. '\t' .. entity
    if row then
      local number = number_of(redis.call('HGET', keys.entities, 'e:' .. entity))
      if not number or row.period ~= period then return true, false end
      local mine = owner and owner.id == entity
      local slots = mine and state.slots or parse_pairs(redis.call('HGET', keys.entities, 'p:' .. field))
      local slot = mine and owner or { id = entity, number = number }
      move_slot(keys, state, row, slot, slots, -units, lines)
      return true, true
    end
    if owner and owner.id == entity then
      row = row_of(state.own, id)
      local same = row and row.period == period
      if same then state.own_changed = move_row(state, row, entity, -units, lines) or state.own_changed end
      return row ~= nil, same
    end
    local texts = redis.call('HMGET', keys.entities, 'e:' .. entity, 'h:' .. field, 'v:' .. field)
    local number = number_of(texts[1])
    if not number then return true, false end -- it went with everything it held
    local rows = parse_rows(texts[2], texts[3], 0)
    row = row_of(rows, id)
    local same = row and row.period == period
    if same then
      local before, before_rolled = own_totals(rows)
      move_row(state, row, entity, -units, lines)
      store_own(keys, state, entity, number, before, before_rolled, rows)
    end
    return row ~= nil, same
  end

  -- What stays of units a part of which goes back: what its pool would have given for all that it still pays for, by
  -- the ratio of today, if it is the one they were taken at.
  local function kept_of(item, stays)
    if stays == 0 then return 0 end
    local pool, units, taken, paid = item.pool, math.abs(item.delta), item.taken, item.paid
    local through, until_now = taken + units, paid + item.covered
    if pool.num and (from_pool(pool, through) == until_now or to_pool(pool, until_now) == through) then
      return math.max(0, math.min(units, to_pool(pool, paid + stays) - taken))
    end
    return math.floor(units * (stays / item.covered) + 0.5)
  end

  local lost, returned = 0, 0
  for at = #items, 1, -1 do
    local item = items[at]
    local feature, delta, share = item.feature, item.delta, math.min(back, item.covered)
    held[feature] = (held[feature] or 0) + delta
    if (all > 0 or units_held == 0) and back >= 0 and (share > 0 or item.covered == 0) then
      local kept = kept_of(item, item.covered - share)
      local units = delta < 0 and delta + kept or delta - kept
      given[feature] = (given[feature] or 0) + math.max(0, units)
      local there, moved = true, true
      if units ~= 0 then there, moved = put_back(item.pool.state, item.id, item.entity, item.period, units) end
      local signed = delta < 0 and -share or share
      if not there then lost = lost + signed elseif moved then returned = returned + signed end
    end
    back = back - item.covered
  end
  for feature, units in pairs(held) do
    for _, scope in ipairs(pools[feature] and { '', owner and owner.id or nil } or {}) do
      local state = pools[feature].state
      local text = state[scope == '' and 'extras' or 'own_extras']
      local left = tonumber(string.match('\n' .. (text or ''), '\nk\t(%-?%d+)') or '0') - units
      set_extra(keys, state, scope, 'k', left ~= 0 and string.format('%d', left) or nil)
    end
  end
  for _, line in ipairs(windows) do
    local feature, scope, key, stop, units = string.match(line, '^\t([^\t]*)\t([^\t]*)\t(%x*)\t(%d+)\t(%d+)$')
    local state = pools[feature] and pools[feature].state
    local text = state and (scope == '' and state.extras or owner and scope == owner.id and state.own_extras)
    local used = text and string.match('\n' .. text, '\nw\t' .. key .. '\t' .. stop .. '\t(%d+)')
    local room = math.min(tonumber(units), feature == part.feature and all or given[feature] or 0)
    if used and room > 0 then
      local left = math.max(0, tonumber(used) - room)
      set_extra(keys, state, scope, 'w\t' .. key, string.format('%s\t%d', stop, left))
      lines[#lines + 1] = string.format('W\t%s\t%s\t%s\t%s\t%d', feature, scope, key, stop, left)
    end
  end
  return lost, returned
end
