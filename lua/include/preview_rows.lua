--[[
Say what a feature looks like once edits of its rows are made, in memory: a decision on it is known to be possible
before anything is written.

preview_rows(state, edits): state as read_feature returns it, its own rows edited at the entity level and the customer's
otherwise; edits as edit_rows takes them.
Returns a state that make_plan reads, or nil when what all entities hold together would leave the exact range.
]]
--@include parse_rows
--@include format_live
--@include own_totals
local function preview_rows(state, edits)
  local edited, rows, of = state.entity and state.own or state.rows, {}, {}

  local function parsed(line, was)
    local row = parse_rows(line, was and format_live({ was }) or '0 0 0 0 0 0', 0)[1]
    row.copies = was and was.copies
    return row
  end

  for _, edit in ipairs(edits) do of[edit.id] = edit end
  for _, row in ipairs(edited) do
    local edit = of[row.id]
    of[row.id] = nil
    if not edit then
      rows[#rows + 1] = row
    elseif edit.line ~= '' then
      rows[#rows + 1] = parsed(edit.line, row)
    end
  end
  for _, edit in ipairs(edits) do
    if of[edit.id] and edit.line ~= '' then rows[#rows + 1] = parsed(edit.line) end
  end
  if state.entity then
    local others = (state.held and state.held.granted or 0) - own_totals(state.own).granted
    if others + own_totals(rows).granted > 9007199254740991 then return nil end
  end
  return {
    feature = state.feature, entity = state.entity, slots = state.slots, held = state.held, rolled = state.rolled,
    rules = state.rules, extras = state.extras, own_rules = state.own_rules, own_extras = state.own_extras,
    rows = state.entity and state.rows or rows, own = state.entity and rows or state.own,
  }
end
