--[[
Make the resets that reading computed real: each fresh row gets a period of its own, the index of its old period is
dropped (one removal for each slot that was touched in it), and the outbox says so.

begin_periods(keys, state, rows, entity, lines): entity '' for the customer's rows. Raises state.counter.
]]
--@include score_base
local function begin_periods(keys, state, rows, entity, lines)
  for _, row in ipairs(rows) do
    if row.fresh then
      state.counter = state.counter + 1
      row.period = state.counter
      lines[#lines + 1] = string.format('R\t%s\t%s\t%s\t%d\t%d', state.feature, row.id, entity, row.period, row.due)
      if row.kind == 'p' then
        redis.call('ZREMRANGEBYSCORE', keys.marks, string.format('%d', score_base(row.old_period, 0)),
          string.format('%d', score_base(row.old_period + 1, 0) - 1))
      end
      if entity == '' then state.changed = true end
    end
  end
end
