--[[
Move what each slot of a per-entity row used over to the row that takes its place. Only slots that differ from full
are touched; the caller drops the marks of the old row.

inherit_slots(keys, state, gone, row, lines): state.rows are the rows as they will be.
]]
--@include parse_pairs
--@include score_base
--@include move_slot
local function inherit_slots(keys, state, gone, row, lines)
  for _, class in ipairs({ 1, 4 }) do -- used, and credited
    local base = score_base(gone.period, class)
    local touched = redis.call('ZRANGEBYSCORE', keys.marks, string.format('%d', base),
      string.format('%d', base + 16777215), 'WITHSCORES')
    for at = 1, #touched, 2 do
      local owner = { id = string.match(touched[at], '\t(.*)$'), number = tonumber(touched[at + 1]) - base }
      local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. owner.id))
      move_slot(keys, state, row, owner, slots, slots[gone.period] or 0, lines)
    end
  end
end
