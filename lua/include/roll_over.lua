--[[
Make the rollover each reset leaves behind, in memory (hot-path section 5): what was left of a row becomes a row of its
own that is spent first and expires some months after the boundary just passed. What all rollovers of a row have left
is then cut to its maximum, the earliest to expire first, of those the oldest; one with nothing left is gone. Of very
many some become one (join_rollovers). A grant that was set by hand ends with the period too (replan_row).

roll_over(rows, now_ms): a row may carry a tail for the id of its rollover, where one row leaves several. Returns the
rows with their rollovers, in spending order. New ones carry made, cut ones changed; the list carries renew, and rolling
as it did.
]]
--@include join_rollovers
--@include next_boundary
--@include replan_row
--@include trim_rollovers
local function roll_over(rows, now)
  local rolled, others = {}, {}

  local function expiry_of(row, months)
    if months == 0 then return 0 end
    local unit, every, anchor = string.match(row.line, '^[^\t]*\t%a\t%d+\t%a*\t(%a*)\t(%d+)\t(%d+)\t')
    every, anchor = tonumber(every), tonumber(anchor)
    if unit == 'f' then return next_boundary(row.due - every, 'm', months, row.due - every) end
    local passed = row.due - (every * 31 + 1) * 86400000 -- before the boundary just passed; walk up to it
    while next_boundary(anchor, unit, every, passed) < row.due do
      passed = next_boundary(anchor, unit, every, passed)
    end
    for _ = 1, months do passed = next_boundary(anchor, 'm', 1, passed) end
    return passed
  end

  for _, row in ipairs(rows) do
    if row.rolled then rolled[#rolled + 1] = row else others[#others + 1] = row end
  end
  for _, row in ipairs(others) do
    if row.fresh and row.kind == 'c' and row.roll ~= '' and not row.unlimited and not row.gone then
      local months = tonumber(string.match(row.roll, ':(%d+)$'))
      local left, expires = row.grant - row.old_used, expiry_of(row, months)
      if left > 0 and (expires == 0 or expires > now) then
        local id = string.format('%s~%d%s', row.id, row.old_period, row.tail or '')
        local rank = string.format(
          '!%014d%014d%s', expires > 0 and expires or 10000000000000, row.old_due, row.rank)
        local plan = string.match(row.line, '\t{("plan_id":"[^"]*")') or '' -- begins the document of a plan's row
        rolled[#rolled + 1] = {
          line = string.format(
            '%s\tc\t%d\tr\t\t0\t0\t%d\t\t%s\t\t%s\t{%s}', id, left, expires, rank, row.id, plan),
          id = id, kind = 'c', grant = left, flags = 'r', rank = rank, entity_feature = '', roll = row.id,
          used = 0, over = 0, credit = 0, period = 0, due = 0, first = 0, expires = expires, rolled = true,
          made = true,
        }
      end
      table.sort(rolled, function(one, other) return one.rank < other.rank end)
      join_rollovers(rolled, row, months)
      trim_rollovers(rolled, row)
    end
    if row.fresh and row.kind == 'c' and not row.gone then replan_row(row) end
  end
  for _, row in ipairs(others) do rolled[#rolled + 1] = row end
  rolled.renew, rolled.rolling = true, rows.rolling
  return rolled
end
