--[[
Say what a row has that rests, as the document of its plan keeps it (gateway/documents.py): when it resets next, its
period, and what was used of it; of a per-entity row, of each slot that differs from full, and what slots rolled over.

rest_row(keys, state, row, carry): carry as leave_rest, or nil; where what is left of the row stays without it, all of
it is used. Returns the end of its object there.
]]
--@include first_member
--@include index_set
--@include parse_pairs
--@include parse_rows
local function rest_row(keys, state, row, carry)
  local used, rolled = {}, {}

  local function walk(band, class, family, note)
    local entity, number = first_member(keys.index, index_set(band, class), nil, 0)
    while entity do
      note(string.format('%s%s\t%s', family, state.feature, entity), number)
      entity, number = first_member(keys.index, index_set(band, class), nil, number + 1)
    end
  end
  local function note_slot(field, number)
    local slots = parse_pairs(redis.call('HGET', keys.entities, field))
    used[#used + 1] = string.format('"%d":%d', number, slots[row.period] or 0)
  end
  local function note_rollovers(field, number)
    local texts = redis.call('HMGET', keys.entities, field, 'v' .. string.sub(field, 2))
    for _, one in ipairs(parse_rows(texts[1], texts[2], 0)) do
      if one.rolled and one.roll == row.id then
        local line = string.gsub(string.gsub(one.line, '[\\"]', '\\%0'), '\t', '\\t')
        rolled[#rolled + 1] = string.format('"%d=%d=%s"', number, one.used, line)
      end
    end
  end

  if row.kind ~= 'p' then
    used[1] = string.format('"0":%d', carry and carry.rest ~= '' and row.grant or row.used)
  else
    walk(row.period, 1, 'p:', note_slot) -- used
    walk(row.period, 4, 'p:', note_slot) -- and credited
    if state.rolled and row.roll ~= '' then walk(state.rolled.band, 3, 'h:', note_rollovers) end
  end
  return string.format('"due_ms":%d,"period":%d,"used":{%s},"rolled":[%s],"id":"%s"}',
    row.due, row.period, table.concat(used, ','), table.concat(rolled, ','), row.id)
end
