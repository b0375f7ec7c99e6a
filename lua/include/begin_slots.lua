--[[
Begin the new period of a feature whose per-entity rows roll over, once every slot is done (roll_slots): all rows that
reset do it now, and overage that outlives the reset (flag k) is the first use of a slot in its new period.

begin_slots(keys, state, lines): state of the customer level. Raises state.counter and writes the rows.
]]
--@include begin_periods
--@include renew_rows
--@include move_slot
--@include parse_pairs
--@include score_base
--@include format_live
local function begin_slots(keys, state, lines)
  local over = {}
  for _, row in ipairs(state.rows) do
    if row.kind == 'p' and row.fresh and not row.gone then
      redis.call('HDEL', keys.customer, 'z:' .. row.id)
      if string.find(row.flags, 'k', 1, true) then
        local base = score_base(row.old_period, 2)
        local members = redis.call('ZRANGEBYSCORE', keys.marks, string.format('%d', base),
          string.format('%d', base + 16777215), 'WITHSCORES')
        for at = 1, #members, 2 do
          local owner = { id = string.match(members[at], '\t(.*)$'), number = tonumber(members[at + 1]) - base }
          over[#over + 1] = { row = row, owner = owner, period = row.old_period }
        end
      end
    end
  end
  begin_periods(keys, state, state.rows, '', lines)
  state.rows = renew_rows(keys, state, state.rows, '', lines)
  for _, one in ipairs(over) do
    local slots = parse_pairs(redis.call('HGET', keys.entities, 'p:' .. state.feature .. '\t' .. one.owner.id))
    move_slot(keys, state, one.row, one.owner, slots, slots[one.period] - one.row.grant, lines)
  end
  redis.call('HSET', keys.customer, 'v:' .. state.feature, format_live(state.rows))
end
