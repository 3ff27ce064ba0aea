"""A real Visual Studio Code in a real browser that a test types into."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.editors.midfill_command import CHECKOUT, until

EXTENSION = CHECKOUT / "editors" / "vscode"
SECONDS = 150
"""The longest wait for anything; a busy machine starts an editor slowly."""

_SETTINGS = {
    "editor.inlineSuggest.enabled": True,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.parameterHints.enabled": False,
    "editor.minimap.enabled": False,
    "chat.disableAIFeatures": True,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.enableExperiments": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.colorTheme": "Default Dark Modern",
    "telemetry.telemetryLevel": "off",
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "security.workspace.trust.startupPrompt": "never",
    "security.workspace.trust.banner": "never",
    "explorer.confirmDragAndDrop": False,
    "git.enabled": False,
    "files.autoSave": "off",
    "window.commandCenter": False,
}
_CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_GHOST = """() => {
  const lines = new Map();
  for (const node of document.querySelectorAll('.monaco-editor .ghost-text')) {
    lines.set(node.parentElement, (lines.get(node.parentElement) ?? '') + node.textContent);
  }
  const first = [...document.querySelectorAll('.monaco-editor .ghost-text-decoration')].map((node) => node.textContent);
  return [first.join(''), ...lines.values()].join('\\n').replaceAll('\\u00a0', ' ');
}"""
_WATCH = """() => {
  window.ghostFrames = [];
  const look = () => {
    window.ghostFrames.push([...document.querySelectorAll('.monaco-editor .ghost-text-decoration')]
      .map((node) => node.textContent).join('').replaceAll('\\u00a0', ' '));
    window.ghostWatch = requestAnimationFrame(look);
  };
  look();
}"""
_WATCHED = "() => { cancelAnimationFrame(window.ghostWatch); return window.ghostFrames; }"


class Window:
    """One window on one folder."""

    def __init__(self, page: Page, address: str, folder: Path, pictures: Path) -> None:
        self.page = page
        self._address = address
        self._pictures = pictures
        self.folder = folder

    def open(self, path: Path, text: str) -> None:
        """Write a file and show it alone, with the cursor at its start."""
        path.write_text(text)
        self.path = path
        host = self._address.removeprefix("http://")
        payload = json.dumps([["openFile", f"vscode-remote://{host}{path}"]])
        self.page.goto(f"{self._address}/?folder={quote(str(self.folder))}&payload={quote(payload)}")
        self.page.wait_for_selector(".monaco-editor .view-line")
        self._focus()

    def show(self, path: Path, text: str) -> None:
        """Write a file and show it in the running window, with the cursor at its start."""
        path.write_text(text)
        self.path = path
        self._in_explorer(path).dblclick()
        self.page.wait_for_selector(f".tab.active[data-resource-name='{path.name}']")
        self._focus()

    def show_notebook(self, path: Path, cells: Sequence[str]) -> None:
        """Write a notebook of Python cells and show it in the running window."""
        stored = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": text} for text in cells]
        about = {"language_info": {"name": "python"}}
        path.write_text(json.dumps({"cells": stored, "metadata": about, "nbformat": 4, "nbformat_minor": 5}))
        self.path = path
        self._in_explorer(path).dblclick()
        self.page.wait_for_selector(".notebookOverlay .monaco-editor .view-line")

    def focus_cell(self, number: int) -> None:
        """Put the cursor at the end of a notebook's cell."""
        self.page.locator(".notebookOverlay .code-cell-row .monaco-editor .view-lines").nth(number).click()
        self.page.wait_for_selector(".notebookOverlay .monaco-editor.focused")
        self.press("Control+End")

    def rename(self, path: Path) -> None:
        """Give the file that is shown another name, in the explorer."""
        self._in_explorer(self.path).click()
        self.press("F2")
        self.page.locator(".explorer-item-edited input").fill(path.name)
        self.press("Enter")
        self.page.wait_for_selector(f".tab.active[data-resource-name='{path.name}']")
        self.path = path
        self._focus()

    def close_file(self) -> None:
        """Close the file that is shown, and forget what was not saved."""
        self.run("View: Revert and Close Editor")
        self.page.wait_for_selector(f".tab[data-resource-name='{self.path.name}']", state="detached")

    def run(self, command: str) -> None:
        """Run a command of the palette."""
        self.press("F1")
        self._choose(command)

    def run_from_status_bar(self, command: str) -> None:
        """Run one of midfill's commands, as its status bar item lists them."""
        self.page.click(".statusbar-item[id*=midfill] a")
        self.page.wait_for_selector(".quick-input-widget .quick-input-list .monaco-list-row")
        self._choose(command)
        self.press("Control+1")
        self.page.wait_for_selector(".editor-instance .monaco-editor.focused")

    def _choose(self, command: str) -> None:
        self.page.keyboard.type(command)
        entry = self.page.locator(".quick-input-list .monaco-list-row", has_text=command.rpartition(": ")[2])
        entry.first.click()
        self.page.wait_for_selector(".quick-input-widget", state="hidden")

    def until_status(self, text: str) -> None:
        """Wait until the status bar item says something where one points at it."""
        item = self.page.locator(".statusbar-item[id*=midfill]")
        until(lambda: self._wait(100) or text in item.evaluate("node => node.outerHTML"), item.inner_html, SECONDS)

    def until_page(self, name: str, text: str) -> None:
        """Wait until a page of ours shows a text."""

        def shows() -> bool:
            self._wait(200)
            frames = [frame for frame in self.page.frames if frame.name == "active-frame" or "webview" in frame.url]
            return any(text in frame.content() for frame in frames)

        self.page.wait_for_selector(f".tab[aria-label*='{name}']")
        until(shows, lambda: f"{text!r} on the page {name}{self._instead()}", SECONDS)

    def _in_explorer(self, path: Path) -> Locator:
        return self.page.locator(".explorer-folders-view .monaco-list-row", has_text=path.name)

    def _focus(self) -> None:
        # Keys that come before the editor has the focus are lost.
        self.page.click(".editor-instance .view-lines")
        self.page.wait_for_selector(".editor-instance .monaco-editor.focused")
        self.go("Control+Home", line=1, column=1)

    def go(self, *keys: str, line: int, column: int) -> None:
        """Press keys until the status bar says that the cursor is at a place."""

        def there() -> bool:
            self.press(*keys)
            self._wait(200)
            return self.cursor() == f"Ln {line}, Col {column}"

        until(there, f"at {line}:{column}", SECONDS)

    def cursor(self) -> str:
        """Return what the status bar says of the cursor."""
        return self.page.inner_text("[id='status.editor.selection']").strip()

    def until_cursor(self, text: str) -> None:
        until(lambda: self._wait() or self.cursor() == text, lambda: f"{text}, but {self.cursor()}", SECONDS)

    def until_ready(self) -> None:
        """Wait for the extension's status bar item to say that the server runs."""
        item = self.page.locator(".statusbar-item[id*=midfill]")

        def says() -> str:
            return " ".join(item.evaluate_all("nodes => nodes.map((node) => node.outerHTML)"))

        until(
            lambda: self._wait(100) or item.locator(".codicon-sparkle").count(),
            lambda: f"ready{self._instead()}; {says()}",
            SECONDS,
        )

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=30)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def ghost(self) -> str:
        """Return what is drawn now; lines are apart by a newline."""
        return self.page.evaluate(_GHOST)

    def watch_ghost(self) -> None:
        """Begin to note the first line of the ghost text at each frame."""
        self.page.evaluate(_WATCH)

    def watched(self) -> list[str]:
        return self.page.evaluate(_WATCHED)

    def picture(self, name: str) -> None:
        """Take a picture for people to look at."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        with suppress(Exception):
            self.page.screenshot(path=self._pictures / f"vscode-{name}.png")

    def until_ghost(self, text: str) -> None:
        until(lambda: self._wait() or self.ghost() == text, lambda: f"{text!r} drawn{self._instead()}", SECONDS)

    def _instead(self) -> str:
        self.picture("failure")
        return f", but {self.ghost()!r}; see {self._pictures}/vscode-failure.png"

    def until_text(self, text: str) -> None:
        """Save until the file holds a text."""

        def saved() -> bool:
            self.press("Control+s")
            self._wait(150)
            return self.path.read_text() == text

        until(saved, lambda: f"{text!r} on disk, but {self.path.read_text()!r}", SECONDS)

    def settle(self, seconds: float = 0.7) -> None:
        """Give what should not happen the time to happen."""
        self._wait(seconds * 1000)

    def _wait(self, milliseconds: float = 20) -> None:
        self.page.wait_for_timeout(milliseconds)  # events go on meanwhile, unlike in a sleep


class VSCode:
    """The editor's server and the browser."""

    def __init__(self, browser: Browser, address: str, pictures: Path) -> None:
        self._browser = browser
        self._address = address
        self._pictures = pictures

    @contextmanager
    def window(self, folder: Path, file: Path, text: str) -> Iterator[Window]:
        """Open a window of its own, as another user of the same machine has it."""
        page = self._browser.new_page(viewport={"width": 1000, "height": 560})
        page.set_default_timeout(SECONDS * 1000)
        window = Window(page, self._address, folder, self._pictures)
        try:
            window.open(file, text)
            yield window
        finally:
            window.picture("last")
            page.close()


@contextmanager
def vscode(installed: Path, vsix: Path, folder: Path, pictures: Path, **settings: object) -> Iterator[VSCode]:
    """Run the editor with the packaged extension alone.

    Args:
        installed: where the editor lies.
        vsix: the packaged extension.
        folder: holds everything it writes.
        pictures: where pictures go.
        settings: the user's settings, beside those that keep everything else quiet (`__` for a dot).
    """
    user = folder / "data" / "User"
    user.mkdir(parents=True)
    chosen = _SETTINGS | {name.replace("__", "."): value for name, value in settings.items()}
    (user / "settings.json").write_text(json.dumps(chosen))
    # The window is a remote one: what is a setting of a machine, as the path of the server is, counts only there.
    machine = folder / "data" / "Machine"
    machine.mkdir()
    (machine / "settings.json").write_text(json.dumps(chosen))
    (folder / "config.yaml").write_text("auth: none\ncert: false\n")
    command = [
        installed / "node", installed / "node_modules/code-server/out/node/entry.js",
        "--config", folder / "config.yaml",
        "--user-data-dir", folder / "data", "--extensions-dir", folder / "extensions",
    ]  # fmt: skip
    environment = os.environ | {"EXTENSIONS_GALLERY": "{}"}
    subprocess.run([*command, "--install-extension", vsix], env=environment, check=True, capture_output=True)
    port = _free_port()
    with (folder / "vscode.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--bind-addr", f"127.0.0.1:{port}", "--disable-telemetry", "--disable-update-check",
             "--disable-getting-started-override"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: _answers(port), f"up; see {folder / 'vscode.log'}", SECONDS)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM)
            yield VSCode(browser, f"http://127.0.0.1:{port}", pictures)
            browser.close()
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def packaged_extension() -> Path:
    """Return the extension as CI packages it, made anew where a source is newer."""
    vsix = EXTENSION / "dist" / "midfill.vsix"
    sources = [path for part in ("src", "media") for path in (EXTENSION / part).iterdir()]
    newest = max(path.stat().st_mtime for path in [*sources, EXTENSION / "package.json"])
    if not vsix.exists() or vsix.stat().st_mtime < newest:
        subprocess.run(["make", "--no-print-directory", "vscode"], cwd=CHECKOUT, check=True, capture_output=True)
    return vsix


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        time.sleep(0.2)
        return False
    finally:
        connection.close()
