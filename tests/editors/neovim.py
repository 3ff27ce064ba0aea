"""A real Neovim that a test types into."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from tests.editors.midfill_command import CHECKOUT, until

PLUGIN = CHECKOUT / "editors" / "neovim"

_FONT = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"

_GHOST = """
local drawn = {}
for name, id in pairs(vim.api.nvim_get_namespaces()) do
  if name == 'midfill' or name == 'nvim.lsp.inline_completion' then
    for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, id, 0, -1, { details = true })) do
      local lines = {}
      for _, chunk in ipairs(mark[4].virt_text or {}) do lines[1] = (lines[1] or '') .. chunk[1] end
      for _, line in ipairs(mark[4].virt_lines or {}) do
        local text = ''
        for _, chunk in ipairs(line) do text = text .. chunk[1] end
        lines[#lines + 1] = text
      end
      drawn[#drawn + 1] = table.concat(lines, '\\n')
    end
  end
end
return table.concat(drawn, '|')
"""

# What is on the screen, row by row: characters, and for each the number of its looks.
_SCREEN = """
vim.cmd.redraw()
local texts, looks = {}, {}
for row = 1, vim.o.lines do
  texts[row], looks[row] = {}, {}
  for column = 1, vim.o.columns do
    texts[row][column] = vim.fn.screenstring(row, column)
    looks[row][column] = vim.fn.screenattr(row, column)
  end
end
return { texts, looks, vim.fn.screenrow(), vim.fn.screencol() }
"""

_ANSWER = 1  # the kind of message, in MessagePack-RPC
_READY = """
local client = vim.lsp.get_clients({ bufnr = 0, name = 'midfill' })[1]
if not (client and client.initialized) then return false end
local answer = client:request_sync('midfill/status', vim.empty_dict(), 5000)
local status = answer and answer.result
return status ~= nil and status.engine.state == 'ready'
"""


class Neovim:
    """One running Neovim with the plug-in."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        self._process = process
        self.name = name
        self._incoming = msgpack.Unpacker(process.stdout)
        self._last_id = 0

    def ask(self, method: str, *arguments: object) -> Any:
        """Call a function of Neovim's API (:help api) and wait for its result."""
        self._last_id += 1
        self._process.stdin.write(msgpack.packb([0, self._last_id, method, arguments]))
        for kind, *answer in self._incoming:
            if kind == _ANSWER:
                message_id, problem, result = answer
                assert message_id == self._last_id
                assert problem is None, problem
                return result
        raise AssertionError("Neovim has ended")

    def lua(self, code: str) -> Any:
        return self.ask("nvim_exec_lua", code, [])

    def command(self, line: str) -> str:
        """Run a line of the command line; returns what it printed."""
        return self.ask("nvim_exec2", line, {"output": True})["output"]

    def type(self, keys: str) -> None:
        """Type keys (`<Tab>` is a key, `<lt>` a `<`), one after the other, as a person does."""
        place = 0
        while place < len(keys):
            end = keys.index(">", place) + 1 if keys[place] == "<" else place + 1
            self.ask("nvim_input", keys[place:end])
            self.lua("return 0")  # answered when the key has been handled
            place = end

    def edit(self, path: Path, text: str) -> None:
        """Write a file and show it alone, in normal mode on its first line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.ask("nvim_input", "<Esc><Esc>")
        self.command("silent! only")
        self.command(f"edit! {path}")
        self.until_ready()

    def text(self) -> str:
        return "\n".join(self.ask("nvim_buf_get_lines", 0, 0, -1, True))

    def ghost(self) -> str:
        """Return what is drawn now; lines are apart by a newline."""
        return self.lua(_GHOST)

    def until_ghost(self, text: str, seconds: float = 60) -> None:
        until(lambda: self.ghost() == text, lambda: f"{text!r} drawn, but {self.ghost()!r}; {self.messages()}", seconds)

    def until_text(self, text: str) -> None:
        until(lambda: self.text() == text, lambda: f"{text!r} in the buffer, but {self.text()!r}")

    def until_ready(self) -> None:
        """Wait for the server and its engine."""
        until(lambda: self.lua(_READY), lambda: f"ready; {self.messages()}", 120)

    def picture(self, path: Path) -> None:
        """Draw the screen for people to look at; what looks as the character at the cursor does is grey."""
        texts, looks, row, column = self.lua(_SCREEN)
        font = ImageFont.truetype(_FONT, 15)
        wide, high = round(font.getlength("m")), 20
        image = Image.new("RGB", (wide * len(texts[0]), high * len(texts)), "#1e1e1e")
        draw = ImageDraw.Draw(image)
        ghost = looks[row - 1][column - 1]
        for y, line in enumerate(texts):
            for x, character in enumerate(line):
                colour = "#808080" if looks[y][x] == ghost else "#d4d4d4"
                draw.text((x * wide, y * high), character, colour, font)
        draw.rectangle([(column - 1) * wide, (row - 1) * high, (column - 1) * wide + 1, row * high], "#ffffff")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    def messages(self) -> str:
        return self.command("messages")

    def settle(self, seconds: float = 0.5) -> None:
        """Give what should not happen the time to happen."""
        time.sleep(seconds)


@contextmanager
def neovim(
    program: Path, folder: Path, midfill: Path, *, setup: str = "", start: Path | None = None
) -> Iterator[Neovim]:
    """Run Neovim with the plug-in alone.

    Args:
        program: the editor.
        folder: holds everything it writes.
        midfill: the command it finds in PATH.
        setup: the Lua table given to the plug-in.
        start: what to start with in place of the plug-in.
    """
    folder.mkdir(exist_ok=True)
    if start is None:
        start = folder / "init.lua"
        start.write_text(
            f"vim.opt.swapfile = false\nvim.opt.rtp:prepend('{PLUGIN}')\nvim.opt.shiftwidth = 4\n"
            f"vim.opt.expandtab = true\nvim.opt.hidden = true\nrequire('midfill').setup({setup})\n"
        )
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {f"XDG_{name}_HOME": str(folder / name) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    environment |= {"PATH": f"{midfill.parent}:{environment['PATH']}", "NVIM_LOG_FILE": str(folder / "nvim.log")}
    command = [program, "--embed", "--headless", "--clean", "-u", start]
    # Unbuffered: a read returns what there is.
    with subprocess.Popen(
        command, env=environment, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Neovim(process, program.parent.name)
        finally:
            process.kill()
