--- Insert-mode keys that do what they did before where there is no ghost text.
local config = require('midfill.config')
local M = {}

--- Feed what a key did before midfill took it.
local function feed_previous(previous, lhs)
  if vim.tbl_isempty(previous) then
    return vim.api.nvim_feedkeys(vim.keycode(lhs), 'in', false)
  end
  local keys = previous.rhs
  if previous.callback then
    keys = previous.callback()
    if previous.expr ~= 1 then
      return
    end
  elseif previous.expr == 1 then
    keys = vim.api.nvim_eval(previous.rhs)
  end
  if keys and keys ~= '' then
    local is_raw = previous.callback and previous.replace_keycodes ~= 1
    vim.api.nvim_feedkeys(is_raw and keys or vim.keycode(keys), previous.noremap == 1 and 'in' or 'im', false)
  end
end

--- Whether the person has picked an entry of a completion menu: then its keys are the menu's.
local function menu_entry_is_picked()
  if vim.fn.pumvisible() == 1 and vim.fn.complete_info({ 'selected' }).selected >= 0 then
    return true
  end
  local cmp = package.loaded['cmp']
  return cmp ~= nil and cmp.visible() and cmp.get_active_entry() ~= nil
end

--- Map the keys for a buffer. Completion plug-ins that map the same keys later fall back to these.
function M.attach(buffer, actions)
  for name, lhs in pairs(config.options.keymaps) do
    if lhs and actions[name] then
      local previous = vim.fn.maparg(lhs, 'i', false, true)
      if previous.desc ~= 'midfill: ' .. name then
        vim.keymap.set('i', lhs, function()
          if menu_entry_is_picked() or not actions[name]() then
            feed_previous(previous, lhs)
          end
        end, { buffer = buffer, desc = 'midfill: ' .. name })
      end
    end
  end
end

return M
