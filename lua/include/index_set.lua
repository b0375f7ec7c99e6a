--[[
A set of entities in the index, which knows them by number: those of a class in a band. A band is a row period, the held
rows of a feature, or (class 0, all of them) the entities of a feature; no two have the same.

Classes of a slot:  0 drained (nothing left), 1 used (> 0), 2 over (below zero), 3 maxed (at its overage floor),
                    4 credited (above the grant).
Classes of held rows of an entity:  0 open (something left), 1 used, 2 over, 3 member (any row), 4 unlimited.

index_set(band, class) returns the field that counts the set, three hex digits for each block of 1,024 numbers; that
field, a colon and a block is the field of its members: for each number of the block, from its first, 1 if it is in the
set. What is missing is 0. A walk reads and writes whole texts: 1,024 digits, and of the counts 3 KB for a million
entities.
]]
local function index_set(band, class)
  return string.format('%d:%d', band, class)
end
