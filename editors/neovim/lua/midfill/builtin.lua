--- Ghost text by Neovim 0.12's own vim.lsp.inline_completion, with the same interface as midfill.ghost.
---
--- Neovim asks and draws. Taking a word or a line, and text typed since the answer, are ours: Neovim 0.12 leaves the
--- latter in front of what it inserts.
local item_text = require('midfill.item')
local server = require('midfill.server')
local M = {}

function M.attach(buffer)
  vim.lsp.inline_completion.enable(M.is_wanted(buffer), { bufnr = buffer })
end

function M.detach(buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.lsp.inline_completion.enable(false, { bufnr = buffer })
  end
end

--- Whether a buffer is asked for unasked; `midfill` replaces it.
function M.is_wanted(_)
  return true
end

local function insert(buffer, item, size)
  local client = vim.lsp.get_client_by_id(item.client_id)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local begin_row, begin, end_row, finish = row - 1, column, row - 1, column
  if item.range then
    begin_row, begin, end_row, finish = item.range:to_extmark()
  end
  local typed = ''
  if begin_row == row - 1 and begin <= column then
    typed = vim.api.nvim_buf_get_text(buffer, begin_row, begin, row - 1, column, {})[1]
  end
  if begin_row ~= row - 1 or not vim.startswith(item.insert_text, typed) then
    return -- the text has moved on
  end
  local rest = item.insert_text:sub(#typed + 1)
  local part = item_text.part(rest, size)
  local is_whole = part == rest
  local replaced = (is_whole and end_row == row - 1) and math.max(0, finish - column) or 0
  item_text.insert(buffer, part, replaced)
  if is_whole and item.command and client then
    client:exec_cmd(item.command, { bufnr = buffer })
  end
end

function M.accept(buffer, size)
  return vim.lsp.inline_completion.get({
    bufnr = buffer,
    on_accept = function(item)
      if type(item.insert_text) ~= 'string' then
        return item
      end
      insert(buffer, item, size)
    end,
  })
end

function M.cycle(buffer, step)
  vim.lsp.inline_completion.select({ bufnr = buffer, count = step })
end

--- Neovim asks by itself alone.
function M.trigger(_)
  server.notify("with ghost_text = 'builtin' Neovim decides when to ask", vim.log.levels.WARN)
end

--- Turn it off until the next edit.
function M.dismiss(buffer)
  vim.lsp.inline_completion.enable(false, { bufnr = buffer })
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'InsertLeave' }, {
    buffer = buffer,
    once = true,
    callback = function()
      M.attach(buffer)
    end,
  })
end

return M
