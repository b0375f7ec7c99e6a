--[[
Count a call against each of its limits or, where it is over one of them, against none.

A window is a second or a minute of the callers' clocks. One that another caller has begun already is gone on with, so
that clocks that differ add no calls to it; it is forgotten two windows after its first call.

count_call(keys, values): the keys and arguments of a script, with one more key for each limit at the end, and one more
argument: now_ms, then ' calls/window_ms' for each; they are taken off. A key holds 'end of its window, calls in it'.
Returns whether the call is refused, and calls left and milliseconds to the end of the window of each limit in turn.
]]
local function count_call(keys, values)
  local time, terms = string.match(values[#values], '^(%d+)(.*)$')
  values[#values] = nil
  local now, counts, told, over = tonumber(time), {}, {}, false
  for most, span in string.gmatch(terms, ' (%d+)/(%d+)') do
    counts[#counts + 1] = { most = tonumber(most), span = tonumber(span) }
  end
  local place = #keys - #counts
  for at, count in ipairs(counts) do
    local key = keys[place + at]
    local stop, calls = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
    count.stop, count.calls, count.begun = now - now % count.span + count.span, 0, false
    if stop and tonumber(stop) >= count.stop then
      count.stop, count.calls, count.begun = tonumber(stop), tonumber(calls), true
    end
    over = over or count.calls >= count.most
  end
  for at, count in ipairs(counts) do
    local key = keys[place + at]
    keys[place + at] = nil
    if not over then
      count.calls = count.calls + 1
      local text = string.format('%d %d', count.stop, count.calls)
      if count.begun then
        redis.call('SET', key, text, 'KEEPTTL')
      else
        redis.call('SET', key, text, 'PX', 2 * count.span)
      end
    end
    told[#told + 1] = math.max(count.most - count.calls, 0)
    told[#told + 1] = math.min(count.stop - now, count.span)
  end
  return over, told
end
