"""The same deeds in every editor: what a person does, whichever keys it takes there."""

from abc import ABC, abstractmethod
from pathlib import Path

from tests.editors.midfill_command import until
from tests.editors.neovim import Neovim
from tests.editors.vscode import SECONDS, Window


class Hand(ABC):
    """A person at an editor."""

    @abstractmethod
    def begin(self, path: Path, text: str) -> None:
        """Write a file, show it, and put the cursor at its end, ready to type."""

    @abstractmethod
    def type(self, text: str) -> None: ...

    @abstractmethod
    def ghost(self) -> str: ...

    @abstractmethod
    def until_text(self, text: str) -> None: ...

    @abstractmethod
    def accept(self) -> None: ...

    @abstractmethod
    def accept_word(self) -> None: ...

    @abstractmethod
    def next(self) -> None: ...

    @abstractmethod
    def previous(self) -> None: ...

    @abstractmethod
    def undo(self) -> None: ...

    @abstractmethod
    def rename(self, path: Path) -> None:
        """Give the file that is shown another name, and put the cursor at its end again."""

    @abstractmethod
    def close(self) -> None:
        """Close the file that is shown."""

    @abstractmethod
    def until_ready(self) -> None: ...

    @abstractmethod
    def picture(self, name: str) -> None: ...

    @abstractmethod
    def settle(self, seconds: float) -> None: ...

    def until_any_ghost(self) -> str:
        """Wait for ghost text that stays; returns it."""
        while True:
            shown = until(lambda: self.settle(0.1) or self.ghost(), "ghost text", SECONDS)
            self.settle(0.5)
            if self.ghost() == shown:
                return shown


class NeovimHand(Hand):
    """With the plug-in's own keys."""

    def __init__(self, editor: Neovim, pictures: Path) -> None:
        self.editor, self._pictures = editor, pictures

    def begin(self, path: Path, text: str) -> None:
        self.editor.edit(path, text)
        self.editor.type("GA")

    def type(self, text: str) -> None:
        self.editor.type(text.replace("<", "<lt>"))

    def ghost(self) -> str:
        return self.editor.ghost()

    def until_text(self, text: str) -> None:
        self.editor.until_text(text)

    def accept(self) -> None:
        self.editor.type("<Tab>")

    def accept_word(self) -> None:
        self.editor.type("<M-w>")

    def next(self) -> None:
        self.editor.type("<M-]>")

    def previous(self) -> None:
        self.editor.type("<M-[>")

    def undo(self) -> None:
        self.editor.type("<Esc>u")

    def rename(self, path: Path) -> None:
        self.editor.type("<Esc>")
        self.editor.command(f"saveas! {path}")
        self.until_ready()
        self.editor.type("GA")

    def close(self) -> None:
        self.editor.type("<Esc>")
        self.editor.command("enew | bwipeout! #")

    def until_ready(self) -> None:
        self.editor.until_ready()

    def picture(self, name: str) -> None:
        self.editor.picture(self._pictures / f"{self.editor.name}-{name}.png")

    def settle(self, seconds: float) -> None:
        self.editor.settle(seconds)


class VSCodeHand(Hand):
    """With the editor's own keys."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def begin(self, path: Path, text: str) -> None:
        self.window.show(path, text)
        self._go_to_end(text)

    def type(self, text: str) -> None:
        self.window.type(text)

    def ghost(self) -> str:
        return self.window.ghost()

    def until_text(self, text: str) -> None:
        self.window.until_text(text)

    def accept(self) -> None:
        self.window.press("Tab")

    def accept_word(self) -> None:
        self.window.press("Control+ArrowRight")

    def next(self) -> None:
        self.window.press("Alt+]")

    def previous(self) -> None:
        self.window.press("Alt+[")

    def undo(self) -> None:
        self.window.press("Control+z")

    def rename(self, path: Path) -> None:
        self.window.rename(path)
        self._go_to_end(path.read_text())

    def close(self) -> None:
        self.window.close_file()

    def until_ready(self) -> None:
        self.window.until_ready()

    def picture(self, name: str) -> None:
        self.window.picture(name)

    def settle(self, seconds: float) -> None:
        self.window.settle(seconds)

    def _go_to_end(self, text: str) -> None:
        last = text.split("\n")
        self.window.go("Control+End", line=len(last), column=len(last[-1]) + 1)
