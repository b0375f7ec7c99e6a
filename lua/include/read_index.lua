--[[
What one or two fields of a customer's index say. Each is read once a call; what write_index left stands for what is
there.

read_index(index, field, other): index is { key } as a call begins. Returns the text of each, nil where there is none.
]]
local function read_index(index, field, other)
  local texts, index_key = index.texts or {}, index.key
  index.texts = texts
  if texts[field] == nil or other and texts[other] == nil then
    local found = redis.call('HMGET', index_key, field, other or field)
    if texts[field] == nil then texts[field] = found[1] end
    if other and texts[other] == nil then texts[other] = found[2] end
  end
  return texts[field] or nil, other and texts[other] or nil
end
