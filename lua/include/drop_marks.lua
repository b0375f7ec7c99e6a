--[[
Forget which slots of one period of a row differ from full: one removal for 1,024 numbers.

drop_marks(index, period): index as read_index.
]]
--@include read_index
--@include write_index
--@include index_set
local function drop_marks(index, period)
  for class = 0, 4 do
    local set = index_set(period, class)
    local counts = read_index(index, set)
    if counts then
      write_index(index, set, nil)
      for block = 0, #counts / 3 - 1 do write_index(index, set .. ':' .. block, nil) end
    end
  end
end
