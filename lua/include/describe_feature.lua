--[[
Say what a call saw (or left behind) of a feature, as the texts gateway/engine/views.py reads.

describe_feature(state, untouched): untouched where nothing was changed since it was read, so that its texts still hold.
Returns {feature, rows, live, held, counts, own rows, own live, slots, rules, extras, own rules, own extras, rolled} as
one text, joined by the character 4 (pack_reply); counts has the entities of each row (0 where it is not per entity),
slots has the used of the entity's slots in row order, held and rolled the sums over what entities hold and over their
rollovers.
]]
--@include format_live
--@include format_held
--@include join_lines
--@include rows_left
local function describe_feature(state, untouched)
  local counts, slots, rows, own = {}, {}, rows_left(state.rows), rows_left(state.own)
  local owner = state.entity
  for at = 1, #rows do
    local row = rows[at]
    counts[at] = row.copies and string.format('%d', row.copies) or '0'
    local matches = owner and row.kind == 'p' and row.entity_feature == owner.feature
    slots[at] = matches and string.format('%d', state.slots[row.period] or 0) or '-'
  end
  return table.concat({
    state.feature, rows.renew and join_lines(rows) or state.static or '', untouched and rows.live or format_live(rows),
    state.held and format_held(state.held) or '', table.concat(counts, ' '),
    own.renew and join_lines(own) or state.own_static or '', untouched and own.live or format_live(own),
    table.concat(slots, ' '),
    state.rules or '', state.extras or '', state.own_rules or '', state.own_extras or '',
    state.rolled and format_held(state.rolled) or '',
  }, '\4')
end
