--[[
Say how far the rows of a call may be below zero together by a spend limit: so many units, or a share of what main
recurring plans include of these rows, as they were planned (hot-path section 3.6). Pure.

spend_limit(spend, sources): spend as read_rules returns it, sources as list_sources. A share of nothing is nil.
]]
local function spend_limit(spend, sources)
  if not spend.share then return spend.amount end
  local included, whole = 0, 1000000
  for _, source in ipairs(sources) do
    local document = source.row.line and string.match(source.row.line, '[^\t]*$') or ''
    if string.find(document, '"subscription_id":', 1, true) and not string.find(document, '"apart":true', 1, true) then
      local units = string.match(document, '"planned":(%d+)') or string.match(document, '"included":(%d+)') or '0'
      included = included + tonumber(units) * source.copies
    end
  end
  if included == 0 then return nil end
  local rest = math.floor(included % whole * spend.amount / whole) -- apart, so that no product is inexact
  return math.min(9007199254740991, math.floor(included / whole) * spend.amount + rest)
end
