--[[
Scores of the order and index sets: (band * 8 + class) * 2^24 + entity number. A band is a row period, the held rows of
a feature, or (class 0, order set) the entities of a feature; it leaves 2^24 entities ever and 2^26 bands a customer.

Classes of a slot:  0 drained (nothing left), 1 used (> 0), 2 over (below zero), 3 maxed (at its overage floor),
                    4 credited (above the grant).
Classes of held rows of an entity:  0 open (something left), 1 used, 2 over, 3 member (any row), 4 unlimited.

score_base(band, class) returns the score of entity number 0.
]]
local function score_base(band, class)
  return (band * 8 + class) * 16777216
end
