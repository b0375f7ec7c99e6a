--[[
Make the resets that reading computed real: each fresh row gets a period of its own, the index of its old period is
dropped (drop_marks), and the outbox says so. Overage that outlives the reset
(flag k) is the first use of the new period.

begin_periods(keys, state, rows, entity, lines): entity '' for the customer's rows; next_period of a row is the number
its new period has already. Raises state.counter.
]]
--@include drop_marks
local function begin_periods(keys, state, rows, entity, lines)
  for _, row in ipairs(rows) do
    if row.fresh and not row.gone then
      if not row.next_period then state.counter = state.counter + 1 end
      row.period, row.fresh = row.next_period or state.counter, false
      lines[#lines + 1] = string.format('R\t%s\t%s\t%s\t%d\t%d', state.feature, row.id, entity, row.period, row.due)
      if row.kind == 'p' then
        drop_marks(keys.index, row.old_period)
      elseif row.used ~= 0 then
        lines[#lines + 1] = string.format('D\t%s\t%s\t%s\t%d\t%d\t%d\t%d',
          state.feature, row.id, entity, row.period, row.used, row.used, row.used)
      end
      if entity == '' then state.changed = true end
    end
  end
end
