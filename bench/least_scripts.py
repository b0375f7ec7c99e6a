"""The least a script can do and still be a check or a track: what the real ones are compared with.

Each takes the keys and arguments of the real one, reads the same fields, does the arithmetic and
answers with two integers; a track writes the same fields and one outbox entry of the same size.
They know no rule: one row of a fixed grant, no reset, no limit, no description in the answer.
"""

from __future__ import annotations

_SHARED = r"""
local function read_customer(key, feature)
  return redis.call('HMGET', key, 'id', 'seq', 'counter', 'r:' .. feature, 'v:' .. feature,
    'h:' .. feature, 'o:' .. feature, 'l:' .. feature, 'x:' .. feature)
end

local function read_entity(key, entity, feature)
  local field = feature .. '\t' .. entity
  return redis.call('HMGET', key, 'e:' .. entity, 'p:' .. field, 'h:' .. field, 'v:' .. field,
    'l:' .. field, 'x:' .. field)
end

local function append(KEYS, ARGV, read, entity, period, used, live)
  local seq = string.format('%d', tonumber(read[2]) + 1)
  redis.call('HSET', KEYS[1], 'seq', seq, 'counter', read[3], 'v:' .. ARGV[7], live)
  redis.call('XADD', KEYS[5], '*', 'e', string.format(
    'track\t%s\t%s\t%s\t%s\t%s\nE\t%s\t%s\t%s\t%s\t%s\t%s\t%s\nD\t%s\t%s\t%s\t%s\t%s\t%s\t%s',
    ARGV[1], read[1], seq, ARGV[3], ARGV[2],
    ARGV[7], '', entity, ARGV[8], ARGV[8], ARGV[3], ARGV[5],
    ARGV[7], ARGV[7], entity, period, ARGV[8], used, used))
end
"""

_BODIES = {
    "check": r"""
local read = read_customer(KEYS[1], ARGV[5])
local left = GRANT - tonumber(string.match(read[5], '^%-?%d+'))
return { left >= tonumber(ARGV[6]) and 1 or 0, left }
""",
    "check_slot": r"""
local read, held = read_customer(KEYS[1], ARGV[5]), read_entity(KEYS[2], ARGV[2], ARGV[5])
local left = GRANT - tonumber(string.match(held[2], ' (%-?%d+)$'))
return { left >= tonumber(ARGV[6]) and 1 or 0, left }
""",
    "track": r"""
local read = read_customer(KEYS[1], ARGV[7])
local used, rest = string.match(read[5], '^(%-?%d+)(.*)$')
local after = tonumber(used) + tonumber(ARGV[8])
if after > GRANT then return { 0, after } end
local text = string.format('%d', after)
append(KEYS, ARGV, read, '', '0', text, text .. rest)
return { 1, after }
""",
    "track_slot": r"""
local read, held = read_customer(KEYS[1], ARGV[7]), read_entity(KEYS[2], ARGV[4], ARGV[7])
local period, slot = string.match(held[2], '^(%d+) (%-?%d+)$')
local used, rest = string.match(read[5], '^(%-?%d+)(.*)$')
local amount = tonumber(ARGV[8])
local after = tonumber(slot) + amount
if after > GRANT then return { 0, after } end
local text = string.format('%d', after)
redis.call('HSET', KEYS[2], 'p:' .. ARGV[7] .. '\t' .. ARGV[4], period .. ' ' .. text)
local total = string.format('%d', tonumber(used) + amount)
append(KEYS, ARGV, read, ARGV[4], period, text, total .. rest)
return { 1, after }
""",
}


def least_library(grant: int) -> str:
    """Return the library for rows of a grant; a function is ``least_`` and the name of its body."""
    parts = ["#!lua name=tallygate_bench", f"local GRANT = {grant}", _SHARED]
    for name, body in _BODIES.items():
        flags = "'no-writes'" if name.startswith("check") else ""
        parts += (
            "redis.register_function{",
            f"function_name = 'least_{name}', flags = {{ {flags} }},",
            f"callback = function(KEYS, ARGV){body}end }}",
        )
    return "\n".join(parts)
