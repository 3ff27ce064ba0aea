if vim.g.loaded_midfill then
  return
end
vim.g.loaded_midfill = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('midfill needs Neovim 0.11 or newer', vim.log.levels.ERROR)
  return
end

vim.api.nvim_create_user_command('Midfill', function(arguments)
  require('midfill.command').run(arguments)
end, {
  nargs = '*',
  desc = 'midfill: status, why, index, stats, enable, disable, toggle, restart, stop, log',
  complete = function(lead, line)
    return require('midfill.command').complete(lead, line)
  end,
})

for name, action in pairs({
  Accept = 'accept', AcceptWord = 'accept_word', AcceptLine = 'accept_line', Next = 'next', Previous = 'previous',
  Dismiss = 'dismiss', Trigger = 'trigger',
}) do
  vim.keymap.set('i', ('<Plug>(Midfill%s)'):format(name), function()
    require('midfill')[action]()
  end, { desc = 'midfill: ' .. action })
end
