--[[
Move what each slot of a per-entity row used over to the row that takes its place. Only slots that differ from full
are touched; the caller drops the marks of the old row.

inherit_slots(keys, state, gone, row, lines): state.rows are the rows as they will be.
]]
--@include first_member
--@include index_set
--@include parse_pairs
--@include move_slot
local function inherit_slots(keys, state, gone, row, lines)
  for _, class in ipairs({ 1, 4 }) do -- used, and credited
    local touched = index_set(gone.period, class)
    local entity, number = first_member(keys.index, touched, nil, 0)
    while entity do
      local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. entity))
      move_slot(keys, state, row, { id = entity, number = number }, slots, slots[gone.period] or 0, lines)
      entity, number = first_member(keys.index, touched, nil, number + 1)
    end
  end
end
