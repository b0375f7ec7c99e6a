--[[
Whether a stream id comes before another one; as text they do not sort.

is_below(id, other)
]]
local function is_below(id, other)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  ms, seq, other_ms, other_seq = tonumber(ms), tonumber(seq), tonumber(other_ms), tonumber(other_seq)
  return ms < other_ms or ms == other_ms and seq < other_seq
end
