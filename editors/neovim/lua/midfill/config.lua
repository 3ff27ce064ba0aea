--- What a user may set, with the defaults.
local M = {}

---@class midfill.Options
M.defaults = {
  -- Command of the server, a list; nil looks for `midfill` (see :help midfill-server).
  cmd = nil,
  -- The server's own settings (docs/settings.md): { assertiveness = 'calm', length = 'line', ... }
  settings = {},
  -- 'own': midfill's ghost text, everywhere. 'builtin': vim.lsp.inline_completion of Neovim 0.12.
  ghost_text = 'own',
  -- Pause in milliseconds before the server is asked ('builtin' always waits 200).
  debounce = 50,
  -- Files that mark the folder that is indexed.
  root_markers = { '.git', '.hg', 'pyproject.toml', 'package.json', 'Cargo.toml', 'go.mod' },
  -- nil: every file type. A list restricts the plug-in to these.
  filetypes = nil,
  -- Insert-mode keys; false maps nothing.
  keymaps = {
    accept = '<Tab>',
    accept_word = '<M-w>',
    accept_line = '<M-l>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<M-e>',
    trigger = '<M-\\>',
  },
}

---@type midfill.Options
M.options = vim.deepcopy(M.defaults)

--- Lay a user's options over the defaults; a mistake is an error that names it.
function M.set(options)
  options = options or {}
  vim.validate('options', options, 'table')
  for name in pairs(options) do
    if M.defaults[name] == nil and name ~= 'cmd' and name ~= 'filetypes' then
      error(("midfill: there is no option '%s'; see :help midfill-options"):format(name), 0)
    end
  end
  local merged = vim.tbl_deep_extend('force', M.defaults, options)
  if options.keymaps == false then
    merged.keymaps = {}
  end
  vim.validate('cmd', merged.cmd, 'table', true)
  vim.validate('settings', merged.settings, 'table')
  vim.validate('debounce', merged.debounce, 'number')
  if merged.ghost_text ~= 'own' and merged.ghost_text ~= 'builtin' then
    error("midfill: ghost_text is 'own' or 'builtin'", 0)
  end
  if merged.ghost_text == 'builtin' and not vim.lsp.inline_completion then
    error("midfill: ghost_text = 'builtin' needs Neovim 0.12; leave it out", 0)
  end
  M.options = merged
end

return M
