--[[
Replace the rows of one feature held by one entity; same rules as place_rows.

place_own(keys, state, static, dues, lines, carries): state of the entity level read with now 0. Raises state.counter.
]]
--@include place_text
--@include store_own
--@include sum_fields
--@include own_totals
local function place_own(keys, state, static, dues, lines, carries)
  local owner, fields = state.entity, {}
  local before, before_rolled = own_totals(state.own)
  local rows, text = place_text(keys, state, state.own, static, dues, owner.id, false, lines, carries)
  local field = state.feature .. '\t' .. owner.id
  if text ~= '' then redis.call('HSET', keys.entities, 'h:' .. field, text) end
  store_own(keys, state, owner.id, owner.number, before, before_rolled, rows)
  sum_fields(state, fields)
  if #fields > 0 then redis.call('HSET', keys.customer, unpack(fields)) end
end
