--- :Midfill and what it can do.
local server = require('midfill.server')
local M = {}

--- Show Markdown in a window of its own; `q` closes it.
local function show(name, text)
  vim.cmd('botright new')
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, '\n', { plain = true }))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = 'markdown'
  vim.api.nvim_buf_set_name(buffer, ('midfill://%s/%d'):format(name, buffer))
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer, nowait = true })
end

local function status_lines(status)
  local engine = status.engine or {}
  local lines = {
    ('midfill %s: %s'):format(status.version, status.message or engine.state or ''),
    ('engine: %s%s%s'):format(engine.state or 'unknown', engine.model and ', model ' .. engine.model or '',
      engine.problem and engine.problem ~= vim.NIL and ', ' .. engine.problem or ''),
  }
  for _, folder in ipairs(status.folders or {}) do
    lines[#lines + 1] = ('index: %s, %s, %d files'):format(folder.root, folder.state, folder.files or 0)
  end
  lines[#lines + 1] = 'here: ' .. (require('midfill').is_enabled(0) and 'on' or 'off')
  return lines
end

local function echo(lines)
  vim.api.nvim_echo({ { table.concat(lines, '\n') } }, true, {})
end

--- Echo the index's progress until every folder has ended.
local function follow_index(client)
  return vim.api.nvim_create_autocmd('LspProgress', {
    callback = function(event)
      local value = event.data.client_id == client.id and event.data.params.value or {}
      if value.kind == 'end' then
        echo({ 'midfill: ' .. (value.message or 'indexed') })
        return true -- removes this
      elseif value.kind then
        local share = value.percentage and (' %d%%'):format(value.percentage) or ''
        vim.api.nvim_echo({ { ('midfill: indexing%s %s'):format(share, value.message or '') } }, false, {})
      end
    end,
  })
end

local function log_files()
  local state = (vim.env.XDG_STATE_HOME or '~/.local/state') .. '/midfill'
  if vim.env.MIDFILL_HOME then
    state = vim.env.MIDFILL_HOME .. '/state'
  elseif vim.fn.has('mac') == 1 then
    state = '~/Library/Application Support/midfill'
  end
  return vim.fs.find(function(name)
    return name:match('%.log$') ~= nil
  end, { path = vim.fs.normalize(state), type = 'file', limit = 20 })
end

M.actions = {
  status = function()
    server.ask('midfill/status', nil, function(status)
      echo(status_lines(status))
    end)
  end,
  why = function()
    local uri = vim.uri_from_bufnr(0)
    server.ask('midfill/why', { textDocument = { uri = uri } }, function(why)
      show('why', why and why ~= vim.NIL and why.text or 'Nothing has been asked in this file yet.')
    end)
  end,
  stats = function(days)
    server.ask('midfill/stats', { days = tonumber(days) }, function(stats)
      show('stats', stats.text)
    end)
  end,
  index = function()
    local client = server.any_client()
    if not client then
      return server.notify('no server is running; see :checkhealth midfill', vim.log.levels.WARN)
    end
    follow_index(client)
    client:exec_cmd({ title = 'midfill: index', command = 'midfill.reindex' })
  end,
  enable = function(scope)
    require('midfill').enable(scope)
  end,
  disable = function(scope)
    require('midfill').disable(scope)
  end,
  toggle = function(scope)
    require('midfill').toggle(scope)
  end,
  restart = function()
    server.stop(function()
      if server.configure() then
        server.start()
      end
    end)
  end,
  stop = function()
    server.stop()
  end,
  log = function()
    local files = log_files()
    files[#files + 1] = vim.lsp.log.get_filename()
    table.sort(files, function(a, b)
      return vim.fn.getftime(a) > vim.fn.getftime(b)
    end)
    vim.cmd.tabedit(vim.fn.fnameescape(files[1]))
    vim.cmd.normal({ 'G', bang = true })
  end,
}

function M.run(arguments)
  local name, argument = arguments.fargs[1] or 'status', arguments.fargs[2]
  local action = M.actions[name]
  if not action then
    return server.notify(('there is no :Midfill %s'):format(name), vim.log.levels.ERROR)
  end
  action(argument)
end

function M.complete(lead, line)
  local words = vim.split(line, '%s+')
  local choices = #words <= 2 and vim.tbl_keys(M.actions) or { 'buffer', vim.bo.filetype }
  table.sort(choices)
  return vim.tbl_filter(function(choice)
    return vim.startswith(choice, lead)
  end, choices)
end

return M
