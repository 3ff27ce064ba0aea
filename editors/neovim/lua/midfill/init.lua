--- Inline completions from a model on this machine. :help midfill
local config = require('midfill.config')
local keymaps = require('midfill.keymaps')
local server = require('midfill.server')
local M = {}

local off = { all = false, buffers = {}, languages = {} }

local function ghost()
  return require(config.options.ghost_text == 'builtin' and 'midfill.builtin' or 'midfill.ghost')
end

local function current()
  return vim.api.nvim_get_current_buf()
end

--- Whether suggestions come unasked in a buffer.
function M.is_enabled(buffer)
  buffer = (buffer == nil or buffer == 0) and current() or buffer
  return not (off.all or off.buffers[buffer] or off.languages[vim.bo[buffer].filetype])
end

--- Accept all of the ghost text; returns whether there was any. So do `accept_word` and `accept_line`.
function M.accept()
  return ghost().accept(current(), 'all')
end

function M.accept_word()
  return ghost().accept(current(), 'word')
end

function M.accept_line()
  return ghost().accept(current(), 'line')
end

--- Show the next alternative; asks for some where only one is known.
function M.next()
  ghost().cycle(current(), 1)
  return true
end

function M.previous()
  ghost().cycle(current(), -1)
  return true
end

--- Send the ghost text away; returns whether there was any.
function M.dismiss()
  if config.options.ghost_text == 'own' and not ghost().visible(current()) then
    return false
  end
  ghost().dismiss(current())
  return true
end

--- Ask now, also where suggestions are off.
function M.trigger()
  ghost().trigger(current())
  return true
end

local function refresh()
  for _, client in ipairs(vim.lsp.get_clients({ name = server.name })) do
    for buffer in pairs(client.attached_buffers) do
      ghost().detach(buffer)
      ghost().attach(buffer)
    end
  end
end

--- Turn suggestions on or off: everywhere (nil), in the current buffer ('buffer') or in a file type.
function M.set_enabled(is_on, scope)
  if scope == nil then
    off.all = not is_on
    if is_on then
      off.buffers, off.languages = {}, {}
    end
  elseif scope == 'buffer' then
    off.buffers[current()] = not is_on or nil
  else
    off.languages[scope] = not is_on or nil
  end
  if scope ~= 'buffer' then
    -- Servers that do not know this are not asked either way.
    for _, client in ipairs(vim.lsp.get_clients({ name = server.name })) do
      client:request('midfill/setEnabled', { enabled = is_on, language = scope }, function() end)
    end
  end
  refresh()
end

function M.enable(scope)
  M.set_enabled(true, scope)
end

function M.disable(scope)
  M.set_enabled(false, scope)
end

function M.toggle(scope)
  local is_off = off.all
  if scope == 'buffer' then
    is_off = off.buffers[current()] ~= nil
  elseif scope then
    is_off = off.languages[scope] ~= nil
  end
  M.set_enabled(is_off, scope)
end

--- One short text for a status line: '' without a server.
function M.statusline()
  if not server.client(0) then
    return ''
  end
  if not M.is_enabled(0) then
    return 'midfill off'
  end
  local status = server.last_status
  return 'midfill' .. ((status and status.kind ~= 'normal' and ' ' .. status.message) or '')
end

local function attach(buffer, client)
  if config.options.ghost_text == 'own' and vim.lsp.inline_completion then
    -- Someone may have turned Neovim's own on for every client: it would show the same text twice.
    vim.lsp.inline_completion.enable(false, { client_id = client.id })
  end
  ghost().detach(buffer)
  ghost().attach(buffer)
  keymaps.attach(buffer, M)
end

--- Start midfill. Options are in :help midfill-options.
function M.setup(options)
  config.set(options)
  vim.api.nvim_set_hl(0, 'MidfillGhost', { link = vim.lsp.inline_completion and 'ComplHint' or 'Comment', default = true })
  require('midfill.ghost').is_wanted = M.is_enabled
  require('midfill.builtin').is_wanted = M.is_enabled
  server.on_ready = function()
    -- Whoever began to type before gets what they would have got.
    if config.options.ghost_text == 'own' and server.client(0) then
      require('midfill.ghost').follow(current())
    end
  end
  local group = vim.api.nvim_create_augroup('midfill', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == server.name then
        attach(event.buf, client)
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == server.name then
        ghost().detach(event.buf)
      end
    end,
  })
  vim.api.nvim_create_autocmd('BufDelete', {
    group = group,
    callback = function(event)
      off.buffers[event.buf] = nil
    end,
  })
  if not server.configure() then
    return server.notify('no server found; see :help midfill-server',
      vim.log.levels.WARN)
  end
  vim.lsp.enable(server.name)
end

return M
