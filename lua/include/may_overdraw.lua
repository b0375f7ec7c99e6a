--[[
Say how far a source may go below zero now (hot-path section 3.3, pass 2). A spend limit of the pool takes the place of
the row's own floor; a control may forbid overage, or permit it where no row is pay-per-use. The customer never
overdraws what entities hold themselves.

may_overdraw(source, mode, first): first is true for the source that takes what is left in modes overflow and allow.
Returns the units, or nil when it may not.
]]
local function may_overdraw(source, mode, first)
  local row, pool, most = source.row, source.pool, 9007199254740991
  if row.rolled then return nil end
  if mode == 'overflow' or mode == 'allow' then
    if not first then return nil end
    return mode == 'overflow' and pool.spend and pool.spend - pool.below or most
  end
  local permitted = string.find(row.flags, 'o', 1, true) or string.find(row.flags, 'f', 1, true) and mode ~= 'reject'
    or pool.overage == '1' and not pool.native
  if not permitted or pool.overage == '0' or source.kind == 'h' then return nil end
  if pool.spend then return pool.spend - pool.below end
  return row.floor and row.floor * source.copies - source.over or most
end
