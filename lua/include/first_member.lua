--[[
The first-created entity of a set of the index, or of what it has beyond another, looking from a number on. Two reads
and the name.

Where all of a set is in another one, what the second lacks is where their texts begin to differ, found by halving.

first_member(index, set, without, from): index as read_index, sets as index_set; without is part of set, nil for
nothing.
Returns entity, number; or nil.
]]
--@include read_index
--@include entity_at
local function first_member(index, set, without, from)
  local block, at

  local function differs(suffix, first)
    local all, part = read_index(index, set .. suffix, without and without .. suffix)
    if not all then return nil end
    if not part then return string.find(all, '[^0]', first) end
    if (string.byte(all, first) or 48) ~= (string.byte(part, first) or 48) then return first end
    part = part .. string.rep('0', #all - #part)
    if string.sub(all, first) == string.sub(part, first, #all) then return nil end
    local low, high = first, #all
    while low < high do
      local middle = math.floor((low + high) / 2)
      if string.sub(all, low, middle) == string.sub(part, low, middle) then low = middle + 1 else high = middle end
    end
    return low
  end

  block = math.floor(from / 1024)
  at = differs(':' .. block, from % 1024 + 1)
  if not at then
    local counted = differs('', (block + 1) * 3 + 1)
    if not counted then return nil end
    block = math.floor((counted - 1) / 3)
    at = differs(':' .. block, 1)
  end
  local number = at and block * 1024 + at - 1
  local entity = number and entity_at(index, number)
  if entity then return entity, number end
end
