--[[
Say what a call saw (or left behind) of a feature, as the texts gateway/engine/views.py reads.

describe_feature(state) returns {feature, rows, live, held, counts, own rows, own live, slots, rules, extras, own rules,
own extras, rolled}; counts has the entities of each row (0 where it is not per entity), slots has the used of the
entity's slots in row order, held and rolled the sums over what entities hold and over their rollovers.
]]
--@include format_live
--@include format_held
local function describe_feature(state)
  local counts, slots, texts, own_texts = {}, {}, {}, {}
  local owner = state.entity
  for at, row in ipairs(state.rows) do
    counts[at] = string.format('%d', row.copies or 0)
    local matches = owner and row.kind == 'p' and row.entity_feature == owner.feature
    slots[at] = matches and string.format('%d', state.slots[row.period] or 0) or '-'
    texts[at] = row.line
  end
  for at, row in ipairs(state.own) do own_texts[at] = row.line end
  return {
    state.feature, table.concat(texts, '\n'), format_live(state.rows), state.held and format_held(state.held) or '',
    table.concat(counts, ' '), table.concat(own_texts, '\n'), format_live(state.own), table.concat(slots, ' '),
    state.rules or '', state.extras or '', state.own_rules or '', state.own_extras or '',
    state.rolled and format_held(state.rolled) or '',
  }
end
