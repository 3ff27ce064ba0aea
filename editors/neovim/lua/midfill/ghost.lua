--- midfill's own ghost text: asks, draws, follows what is typed. Works on Neovim 0.11 and newer.
local config = require('midfill.config')
local item_text = require('midfill.item')
local server = require('midfill.server')
local M = {}

local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2
local namespace = vim.api.nvim_create_namespace('midfill')

---@class midfill.Shown
---@field items table[] as the server sent them, each with its `text`
---@field index integer
---@field row integer where the text begins, from 0
---@field column integer bytes
---@field after string the line behind the cursor when it was asked for
---@field replaced integer bytes of `after` that the item replaces

---@type table<integer, midfill.Shown>
local shown = {}
---@type table<integer, {client: vim.lsp.Client, id: integer}>
local pending = {}
local dismissed = {}
local timer = assert(vim.uv.new_timer())

local function is_inserting()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

local function cursor()
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return row - 1, column
end

local function line_at(buffer, row)
  return vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ''
end

local function byte_of(buffer, position, encoding)
  return vim.str_byteindex(line_at(buffer, position.line), encoding, position.character, false)
end

local function cancel(buffer)
  timer:stop()
  local request = pending[buffer]
  pending[buffer] = nil
  if request then
    request.client:cancel_request(request.id)
  end
end

--- Return what is still to be written of the shown item, or nil where the buffer no longer agrees with it.
local function remainder(buffer)
  local state = shown[buffer]
  if not state then
    return nil
  end
  local row, column = cursor()
  if row < state.row or (row == state.row and column < state.column) then
    return nil
  end
  local typed = table.concat(vim.api.nvim_buf_get_text(buffer, state.row, state.column, row, column, {}), '\n')
  local text = state.items[state.index].text
  if not vim.startswith(text, typed) or line_at(buffer, row):sub(column + 1) ~= state.after then
    return nil
  end
  return text:sub(#typed + 1)
end

local function draw_at(buffer, row, column, pieces, more)
  for index, piece in ipairs(pieces) do
    vim.api.nvim_buf_set_extmark(buffer, namespace, row, column + piece[1], {
      virt_text = { { piece[2], 'MidfillGhost' } },
      virt_text_pos = piece.over and 'overlay' or 'inline',
      virt_lines = index == #pieces and #more > 0 and more or nil,
      hl_mode = 'combine',
      undo_restore = false,
    })
  end
end

local function draw(buffer, text)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  local state = shown[buffer]
  local row, column = cursor()
  local lines = vim.split(text, '\n', { plain = true })
  local replaced = state.after:sub(1, state.replaced)
  local pieces = item_text.pieces(lines[1], replaced)
  if not pieces then
    local blanks = math.max(0, vim.fn.strdisplaywidth(replaced) - vim.fn.strdisplaywidth(lines[1]))
    pieces = { { 0, lines[1] .. (' '):rep(blanks), over = true } }
  elseif #pieces == 0 then
    pieces = { { 0, '' } }
  end
  local more = {}
  for index = 2, #lines do
    -- Tabs in virtual lines are drawn as ^I.
    local spaces = lines[index]:gsub('\t', (' '):rep(vim.bo[buffer].tabstop))
    more[#more + 1] = { { spaces, 'MidfillGhost' } }
  end
  draw_at(buffer, row, column, pieces, more)
end

--- Take the ghost text away.
function M.hide(buffer)
  shown[buffer] = nil
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
end

--- Return the text that is visible in a buffer, or nil.
function M.visible(buffer)
  return shown[buffer] and remainder(buffer) or nil
end

--- Return the number of the visible item and of how many.
function M.position(buffer)
  local state = shown[buffer]
  return state and state.index or 0, state and #state.items or 0
end

local function select(buffer, index)
  local state = shown[buffer]
  state.index = index
  local item = state.items[index]
  state.replaced = item.replaced
  draw(buffer, remainder(buffer) or item.text)
  server.tell(item.client, 'textDocument/didShowCompletion', { item = item.raw })
end

--- Make items of ours of an answer's, leaving out what cannot be shown at the place of the question.
local function readable(buffer, client, answer, place)
  local items = {}
  for _, raw in ipairs(answer and (answer.items or answer) or {}) do
    local text, begin, finish = raw.insertText, place.column, place.column
    if raw.range and raw.range.start.line == place.row then
      begin = byte_of(buffer, raw.range.start, client.offset_encoding)
      finish = byte_of(buffer, raw.range['end'], client.offset_encoding)
    end
    local typed = place.before:sub(begin + 1)
    if type(text) == 'string' and begin <= place.column and vim.startswith(text, typed) and #text > #typed then
      local replaced = math.max(0, finish - place.column)
      items[#items + 1] = { raw = raw, client = client, text = text:sub(#typed + 1), replaced = replaced }
    end
  end
  return items
end

local function take(buffer, client, answer, place, first)
  if not is_inserting() or vim.api.nvim_get_current_buf() ~= buffer then
    return
  end
  if line_at(buffer, place.row):sub(1, #place.before) ~= place.before then
    return -- edited since: the next question is on its way
  end
  local items = readable(buffer, client, answer, place)
  if #items == 0 then
    return M.hide(buffer)
  end
  shown[buffer] = { items = items, index = 1, row = place.row, column = place.column, after = place.after, replaced = 0 }
  if remainder(buffer) and remainder(buffer) ~= '' then
    select(buffer, (first - 1) % #items + 1)
  else
    M.hide(buffer)
  end
end

--- Ask; the answer's item with the number `first` is shown, counted round (0 is the last).
local function ask(buffer, kind, first)
  cancel(buffer)
  local client = server.client(buffer)
  if not client or not is_inserting() then
    return
  end
  local row, column = cursor()
  local line = line_at(buffer, row)
  local place = { row = row, column = column, before = line:sub(1, column), after = line:sub(column + 1) }
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  local request = { client = client }
  local sent, id = client:request(METHOD, params, function(problem, answer)
    if pending[buffer] == request then
      pending[buffer] = nil
      if not problem then
        take(buffer, client, answer, place, first)
      end
    end
  end, buffer)
  if sent then
    request.id = id
    pending[buffer] = request
  end
end

--- Follow an edit or a move: keep text that is being typed, ask anew otherwise.
function M.follow(buffer)
  local rest = remainder(buffer)
  if rest and rest ~= '' then
    return draw(buffer, rest)
  end
  M.hide(buffer)
  cancel(buffer)
  if dismissed[buffer] == vim.b[buffer].changedtick then
    return
  end
  timer:start(config.options.debounce, 0, vim.schedule_wrap(function()
    if vim.api.nvim_buf_is_valid(buffer) and buffer == vim.api.nvim_get_current_buf() and M.is_wanted(buffer) then
      ask(buffer, AUTOMATIC, 1)
    end
  end))
end

--- Whether a buffer is asked for unasked; `midfill` replaces it.
function M.is_wanted(_)
  return true
end

--- Ask now, for several alternatives.
function M.trigger(buffer)
  dismissed[buffer] = nil
  ask(buffer, INVOKED, 1)
end

--- Show another alternative; asks for some where only one is known.
function M.cycle(buffer, step)
  local state = shown[buffer]
  if not state or not remainder(buffer) then
    return M.trigger(buffer)
  end
  if #state.items > 1 then
    return select(buffer, (state.index - 1 + step) % #state.items + 1)
  end
  -- The best of them is the one that is shown already.
  ask(buffer, INVOKED, 1 + step)
end

--- Take the ghost text away until the next edit, and let the server remember that.
function M.dismiss(buffer)
  local state = shown[buffer]
  dismissed[buffer] = vim.b[buffer].changedtick
  cancel(buffer)
  M.hide(buffer)
  if state then
    local item = state.items[state.index]
    server.tell(item.client, 'midfill/didDismissCompletion', { item = item.raw })
  end
end

--- Put 'all', a 'line' or a 'word' of the ghost text into the buffer; returns whether there was any.
function M.accept(buffer, size)
  local rest = M.visible(buffer)
  if not rest or rest == '' then
    return false
  end
  cancel(buffer)
  local state = shown[buffer]
  local item = state.items[state.index]
  local part = item_text.part(rest, size)
  if part == rest then
    M.hide(buffer)
    item_text.insert(buffer, part, state.replaced)
    if item.raw.command then
      item.client:exec_cmd(item.raw.command, { bufnr = buffer })
    end
    return true
  end
  item_text.insert(buffer, part, 0)
  draw(buffer, rest:sub(#part + 1))
  local accepted = item.text:sub(1, #item.text - #rest + #part)
  local length = vim.str_utfindex(accepted, 'utf-16')
  server.tell(item.client, 'textDocument/didPartiallyAcceptCompletion', { item = item.raw, acceptedLength = length })
  return true
end

--- Begin to follow a buffer.
function M.attach(buffer)
  local group = vim.api.nvim_create_augroup('midfill.ghost.' .. buffer, {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buffer, callback = callback })
  end
  on({ 'InsertEnter', 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, function()
    M.follow(buffer)
  end)
  on({ 'InsertLeave', 'BufLeave' }, function()
    cancel(buffer)
    M.hide(buffer)
  end)
  on('BufUnload', function()
    shown[buffer], pending[buffer], dismissed[buffer] = nil, nil, nil
  end)
end

--- Stop following a buffer.
function M.detach(buffer)
  pcall(vim.api.nvim_del_augroup_by_name, 'midfill.ghost.' .. buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    pending[buffer] = nil
    M.hide(buffer)
  end
end

return M
