--[[
Change a field of a customer's index for those who read it next in this call; close_index writes it.

write_index(index, field, text): index as read_index; text nil takes the field away.
]]
local function write_index(index, field, text)
  index.texts, index.changed = index.texts or {}, index.changed or {}
  index.texts[field], index.changed[field] = text or false, true
end
