--[[
Change the text of the rows of one feature in one scope: some lines become others, some end, new ones come in their
place by rank, per-entity rows last.

edit_rows(static, edits): edits is a list of {id, due, line}; an empty line ends the row, an empty due keeps its next
reset.
Returns the new text and the resets as place_rows takes them.
]]
local function edit_rows(static, edits)
  local entries, places = {}, {}
  local function entry(line, due)
    local kind, rank = string.match(
      line, '^[^\t]*\t(%a)\t%d+\t%a*\t%a*\t%d+\t%d+\t%d+\t%d*\t([^\t]*)\t')
    return { line = line, due = due, order = (kind == 'p' and '1' or '0') .. rank, place = #entries + 1 }
  end
  for line in string.gmatch(static, '[^\n]+') do
    entries[#entries + 1] = entry(line, '-')
    places[string.match(line, '^[^\t]*')] = #entries
  end
  for _, edit in ipairs(edits) do
    local place = places[edit.id] or #entries + 1
    if edit.line == '' then
      if entries[place] then entries[place].ended = true end
    else
      local due = places[edit.id] and (edit.due == '' and '-' or '=' .. edit.due) or edit.due
      entries[place] = entry(edit.line, due)
      entries[place].place = place
    end
  end
  table.sort(entries, function(one, other)
    if one.order ~= other.order then return one.order < other.order end
    return one.place < other.place
  end)
  local lines, dues = {}, {}
  for _, one in ipairs(entries) do
    if not one.ended then lines[#lines + 1], dues[#dues + 1] = one.line, one.due end
  end
  return table.concat(lines, '\n'), table.concat(dues, ' ')
end
