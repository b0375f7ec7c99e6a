--[[
Begin the new period of a feature whose per-entity rows roll over, or keep overage, once every slot is done (roll_slots,
carry_slots): all rows that reset do it now. Only lines and sums that are there already are put in place, whatever the
number of slots.

begin_slots(keys, state, lines): state of the customer level. Raises state.counter and writes the rows.
]]
--@include begin_periods
--@include renew_rows
--@include drop_carry
--@include format_live
local function begin_slots(keys, state, lines)
  local carried = {}
  for _, row in ipairs(state.rows) do
    if row.kind == 'p' and row.fresh and not row.gone then
      redis.call('HDEL', keys.customer, 'z:' .. row.id)
      local known, pages = drop_carry(keys, row.id, true)
      if known then
        local period, used, over, credit, first = string.match(
          known, '^%d+ (%d+) %d+ (%-?%d+) (%d+) (%d+) (%d+) %d+$')
        row.next_period = tonumber(period)
        carried[#carried + 1] = {
          row = row, pages = pages, used = tonumber(used), over = tonumber(over), credit = tonumber(credit),
          first = tonumber(first),
        }
      end
    end
  end
  begin_periods(keys, state, state.rows, '', lines)
  state.rows = renew_rows(keys, state, state.rows, '', lines)
  for _, one in ipairs(carried) do
    for _, name in ipairs({ 'used', 'over', 'credit', 'first' }) do one.row[name] = one[name] end
    for _, page in ipairs(one.pages) do lines[#lines + 1] = page end
  end
  redis.call('HSET', keys.customer, 'v:' .. state.feature, format_live(state.rows))
end
