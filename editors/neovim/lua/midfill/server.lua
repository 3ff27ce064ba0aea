--- Finding, starting and asking the language server.
local config = require('midfill.config')
local M = {}

M.name = 'midfill'
local METHOD_NOT_FOUND = -32601
local RESTARTS, WITHIN_SECONDS = 4, 180

---@type table? the latest `midfill/didChangeStatus`
M.last_status = nil

--- Return the server's command and where it was found, or nil.
---
--- A virtual environment counts only when it is active: a folder that is merely opened must not choose what runs.
function M.find()
  if config.options.cmd then
    return config.options.cmd, 'the option cmd'
  end
  local places = {
    { vim.env.VIRTUAL_ENV and vim.env.VIRTUAL_ENV .. '/bin/midfill' or '', 'the active virtual environment' },
    { vim.fn.exepath('midfill'), 'PATH' },
    { vim.fs.normalize('~/.local/bin/midfill'), 'pipx or uv' },
  }
  for _, place in ipairs(places) do
    if vim.fn.executable(place[1]) == 1 then
      return { place[1], 'lsp' }, place[2]
    end
  end
end

--- Return the client of a buffer, if it has one that is ready.
function M.client(buffer)
  return vim.lsp.get_clients({ bufnr = buffer or 0, name = M.name })[1]
end

--- Return a client of any buffer.
function M.any_client()
  return M.client(0) or vim.lsp.get_clients({ name = M.name })[1]
end

--- Send a request; what goes wrong is one message for a person.
function M.ask(method, params, on_result)
  local client = M.any_client()
  if not client then
    return M.notify('no server is running; see :checkhealth midfill', vim.log.levels.WARN)
  end
  client:request(method, params or vim.empty_dict(), function(problem, result)
    if not problem then
      on_result(result)
    elseif problem.code == METHOD_NOT_FOUND then
      M.notify(('the installed server does not know %s; update midfill'):format(method), vim.log.levels.WARN)
    else
      M.notify(problem.message, vim.log.levels.ERROR)
    end
  end)
end

--- Tell the server something that it may not know of; silent.
function M.tell(client, method, params)
  client:notify(method, params)
end

function M.notify(message, level)
  vim.notify('midfill: ' .. message, level or vim.log.levels.INFO)
end

--- Called when the engine becomes ready; `midfill` replaces it.
function M.on_ready() end

local exits = {}

local function after_exit(code, signal)
  if M.stopping or vim.v.exiting ~= vim.NIL or (code == 0 and signal == 0) then
    return
  end
  local now = vim.uv.now()
  exits = vim.tbl_filter(function(time)
    return now - time < WITHIN_SECONDS * 1000
  end, exits)
  exits[#exits + 1] = now
  if #exits > RESTARTS then
    return M.notify('the server keeps ending; :Midfill log says why, :Midfill restart tries again', vim.log.levels.ERROR)
  end
  vim.defer_fn(M.start, 300 * #exits)
end

local function capabilities()
  local wanted = vim.lsp.protocol.make_client_capabilities()
  -- Neovim 0.11 does not declare it by itself.
  wanted.textDocument.inlineCompletion = { dynamicRegistration = false }
  wanted.experimental = { midfill = { statusNotifications = true } }
  return wanted
end

--- Make the server known to Neovim; it starts with the first buffer. Returns whether one was found.
function M.configure()
  local cmd = M.find()
  if not cmd then
    return false
  end
  vim.lsp.config(M.name, {
    cmd = cmd,
    filetypes = config.options.filetypes,
    root_markers = config.options.root_markers,
    capabilities = capabilities(),
    settings = { midfill = config.options.settings },
    init_options = next(config.options.settings) and config.options.settings or nil,
    on_exit = function(code, signal)
      vim.schedule(function()
        after_exit(code, signal)
      end)
    end,
    handlers = {
      ['midfill/didChangeStatus'] = function(_, status)
        local was_ready = M.last_status and M.last_status.engine.state == 'ready'
        M.last_status = status
        if status.engine.state == 'ready' and not was_ready then
          M.on_ready()
        end
        vim.api.nvim_exec_autocmds('User', { pattern = 'MidfillStatus', modeline = false })
        vim.cmd.redrawstatus()
      end,
    },
  })
  return true
end

--- Start the server for every open buffer it is meant for.
function M.start()
  M.stopping = false
  vim.lsp.enable(M.name, false)
  vim.lsp.enable(M.name)
end

--- Stop every server, and start anew where asked to.
function M.stop(on_stopped)
  M.stopping = true
  M.last_status = nil
  exits = {}
  vim.lsp.enable(M.name, false)
  local clients = vim.lsp.get_clients({ name = M.name })
  for _, client in ipairs(clients) do
    client:stop()
  end
  local function wait(tries)
    local left = vim.tbl_filter(function(client)
      return not client:is_stopped()
    end, clients)
    if #left > 0 and tries > 0 then
      return vim.defer_fn(function()
        wait(tries - 1)
      end, 50)
    end
    for _, client in ipairs(left) do
      client:stop(true)
    end
    if on_stopped then
      on_stopped()
    end
  end
  wait(60)
end

return M
