--- :checkhealth midfill
local config = require('midfill.config')
local server = require('midfill.server')
local M = {}

local function check_neovim()
  if vim.fn.has('nvim-0.11') == 1 then
    vim.health.ok('Neovim ' .. tostring(vim.version()))
  else
    vim.health.error('Neovim 0.11 or newer is needed')
  end
  vim.health.info('ghost text: ' .. (config.options.ghost_text == 'own' and "midfill's own" or "Neovim's"))
end

--- Run the server's own check; it knows its model, device and folders.
local function check_server()
  local cmd, where = server.find()
  if not cmd then
    vim.health.error('no server found', {
      'install it from its repository: pipx install PATH, or: uv tool install PATH',
      "or set the option cmd: require('midfill').setup({ cmd = { '/path/to/midfill', 'lsp' } })",
    })
    return
  end
  vim.health.ok(('server: %s (%s)'):format(table.concat(cmd, ' '), where))
  local ran, doctor = pcall(function()
    return vim.system({ cmd[1], 'doctor' }, { text = true }):wait(60000)
  end)
  if not ran then
    return vim.health.error('it cannot be run: ' .. tostring(doctor))
  end
  local report = doctor.code == 0 and vim.health.ok or vim.health.warn
  report(('`midfill doctor` ended with %d'):format(doctor.code))
  for line in vim.gsplit(vim.trim(doctor.stdout .. doctor.stderr), '\n') do
    vim.health.info(line)
  end
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = server.name })
  if #clients == 0 then
    return vim.health.warn('no server is running', { 'open a file of a known type', ':Midfill restart', ':Midfill log' })
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_count(client.attached_buffers)
    vim.health.ok(('running for %s: %d buffers, %s'):format(client.root_dir or 'single files', buffers,
      client.offset_encoding))
    local response = client:request_sync('midfill/status', vim.empty_dict(), 2000)
    local status = response and response.result
    if status and status.engine and status.engine.problem and status.engine.problem ~= vim.NIL then
      vim.health.error('engine: ' .. status.engine.problem)
    elseif status and status.engine then
      vim.health.ok('engine: ' .. status.engine.state)
    end
  end
end

local function check_neighbours()
  for _, name in ipairs({ 'copilot', 'supermaven-nvim', 'minuet', 'codeium' }) do
    if package.loaded[name] then
      vim.health.warn(('%s is loaded too: two ghost texts at one cursor'):format(name))
    end
  end
  for action, lhs in pairs(config.options.keymaps) do
    local global = lhs and vim.fn.maparg(lhs, 'i', false, true) or {}
    if not vim.tbl_isempty(global) and not vim.startswith(global.desc or '', 'midfill') then
      vim.health.info(('%s (%s) is mapped by others too: %s'):format(lhs, action, global.desc or global.rhs or 'Lua'))
    end
  end
end

function M.check()
  vim.health.start('midfill: Neovim')
  check_neovim()
  vim.health.start('midfill: server')
  check_server()
  vim.health.start('midfill: clients')
  check_clients()
  vim.health.start('midfill: other plug-ins and keys')
  check_neighbours()
end

return M
