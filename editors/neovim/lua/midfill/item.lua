--- What a suggestion is made of: how much one key takes, what is drawn where, and how text gets in. Columns are bytes.
local M = {}

--- Return the first part of a text: 'all', 'line' (to the end of its first line that is not empty) or 'word'.
function M.part(text, size)
  if size == 'all' then
    return text
  elseif size == 'line' then
    return text:match('^%s*[^\n]*') or text
  end
  -- Blanks and what they lead to: a name, or a run of other characters. \127-\255 are the bytes of other alphabets.
  local blanks = text:match('^%s*')
  local rest = text:sub(#blanks + 1)
  return blanks .. (rest:match('^[%w_\128-\255]+') or rest:match('^[^%w_%s\128-\255]+') or '')
end

--- Say where the text of one line goes around what it replaces: a list of {offset, text}, or nil where `replaced` is not
--- contained in it in this order.
function M.pieces(text, replaced)
  local pieces, begin, place = {}, 1, 1
  for offset = 0, #replaced - 1 do
    local found = text:find(replaced:sub(offset + 1, offset + 1), place, true)
    if not found then
      return nil
    end
    if found > begin then
      pieces[#pieces + 1] = { offset, text:sub(begin, found - 1) }
    end
    begin, place = found + 1, found + 1
  end
  if begin <= #text then
    pieces[#pieces + 1] = { #replaced, text:sub(begin) }
  end
  return pieces
end

--- Put text in at the cursor, over the next `replaced` bytes, as one step of undo; the cursor ends behind it.
function M.insert(buffer, text, replaced)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(text, '\n', { plain = true })
  M.break_undo(buffer)
  vim.api.nvim_buf_set_text(buffer, row - 1, column, row - 1, column + replaced, lines)
  local last = #lines[#lines] + (#lines == 1 and column or 0)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, last })
  M.break_undo(buffer)
end

--- End the current step of undo (:help undo-break).
function M.break_undo(buffer)
  vim.bo[buffer].undolevels = vim.bo[buffer].undolevels
end

return M
