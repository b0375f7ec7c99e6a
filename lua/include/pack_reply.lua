--[[
Write a reply as one text, which costs the server and its reader less than lists in lists: lists are joined by the
characters 1 to 4, one for each depth. No value of a reply has them: ids may not, and JSON escapes them.

pack_reply(reply) returns the text; gateway/scripts/calls.py reads it.
]]
local function pack_reply(reply)
  local function pack(value, depth)
    if type(value) == 'number' then return string.format('%d', value) end
    if type(value) == 'string' then return value end
    local parts = {}
    for at, part in ipairs(value) do parts[at] = pack(part, depth + 1) end
    return table.concat(parts, string.char(depth))
  end
  return pack(reply, 1)
end
