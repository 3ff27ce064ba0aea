"""A real client, the real server and engine, the default model, a real repository of more than 500 files.

MIDFILL_TEST_REPOSITORY names a checkout to use; without it the tree of sympy, which PyTorch brings along, is copied.
"""

import asyncio
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lsp_server.document import split_lines
from tests.support.lsp_client import NEOVIM, LspClient, LspError, running_server, sha256_of

pytestmark = pytest.mark.slow

REQUEST_CANCELLED = -32800


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("MIDFILL_TEST_REPOSITORY")
    if named:
        return Path(named).resolve()
    spec = importlib.util.find_spec("sympy")
    assert spec is not None
    assert spec.origin is not None
    folder = tmp_path_factory.mktemp("repositories") / "sympy"
    shutil.copytree(Path(spec.origin).parent, folder / "sympy", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests here: the repository is indexed once, and the engine learns it once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def client(repository: Path, home: Path) -> AsyncIterator[LspClient]:
    async with running_server(home, cwd=repository, environment={"OMP_NUM_THREADS": "2"}) as client:
        await client.initialize(NEOVIM, repository)
        await client.status_when(_ready, seconds=240)
        yield client
        await client.stop()


def _ready(status: dict) -> bool:
    return status["engine"]["state"] == "ready" and [folder["state"] for folder in status["folders"]] == ["ready"]


@pytest.fixture(scope="module", autouse=True)
def _no_engine_is_left_behind(home: Path):
    yield
    for process in _engines(home):
        os.kill(process, signal.SIGTERM)


def _engines(home: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"engine.worker" in command and os.fsencode(home) in environment:
            found.append(int(entry.name))
    return found


def _largest_files(repository: Path, count: int) -> list[Path]:
    files = [path for path in repository.rglob("*.py") if 5_000 < path.stat().st_size < 60_000]
    return sorted(files, key=lambda path: path.stat().st_size)[-count:]


async def test_typing_in_a_real_file_brings_completions(client: LspClient, repository: Path) -> None:
    assert sum(1 for _ in repository.rglob("*.py")) >= 500
    answered = asked = 0
    for path in _largest_files(repository, 6):
        lines = path.read_text(encoding="utf-8").split("\n")
        number = len(lines) // 2
        while not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
        line, lines[number] = lines[number], ""
        uri = path.as_uri()
        await client.open(uri, "\n".join(lines))
        for column, character in enumerate(line[: len(line) // 2 + 4]):
            at = {"line": number, "character": column}
            change = {"range": {"start": at, "end": at}, "text": character}
            await client.change(uri, column + 2, change)
            items = await client.complete(uri, number, column + 1)
            asked += 1
            answered += bool(items)
            assert all(isinstance(item["insertText"], str) and item["insertText"] for item in items)
        await client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    print(f"\n{answered} of {asked} keystrokes brought a completion")
    assert answered > 0.2 * asked


async def test_a_cancelled_request_is_answered_at_once(client: LspClient, repository: Path) -> None:
    (path,) = _largest_files(repository, 1)
    text = path.read_text(encoding="utf-8")
    uri = path.as_uri()
    await client.open(uri, text)
    delays = []
    for line in range(20, 40):
        request, reply = client.ask(uri, line, 0, kind=1)
        await asyncio.sleep(0.005)  # let the engine begin
        began = time.perf_counter()
        client.cancel(request)
        (outcome,) = await asyncio.gather(reply, return_exceptions=True)
        assert isinstance(outcome, dict) or (isinstance(outcome, LspError) and outcome.code == REQUEST_CANCELLED)
        delays.append(1e3 * (time.perf_counter() - began))
    delays.sort()
    print(f"\ncancel to answer: median {delays[10]:.1f} ms, longest {delays[-1]:.1f} ms")


async def test_a_thousand_edits_and_requests_leave_the_mirror_equal(client: LspClient, repository: Path) -> None:
    (path,) = _largest_files(repository, 1)
    text = path.read_text(encoding="utf-8")
    uri = path.as_uri()
    await client.open(uri, text)
    chance = random.Random(7)
    pending = []
    for version in range(2, 1002):
        lines = split_lines(text)
        number = chance.randrange(len(lines))
        line = lines[number].rstrip("\r\n")
        start = chance.randint(0, len(line))
        end = chance.randint(start, len(line))
        written = chance.choice(["x", "self.", "\n    ", "", "Größe", "\N{GRINNING FACE}", "\f", "\u2028", "return "])
        change = {
            "range": {
                "start": {"line": number, "character": len(line[:start].encode())},
                "end": {"line": number, "character": len(line[:end].encode())},
            },
            "text": written,
        }
        offset = sum(map(len, lines[:number]))
        text = text[: offset + start] + written + text[offset + end :]
        await client.change(uri, version, change)
        pending.append(client.ask(uri, number, 0)[1])
        if len(pending) >= 20:
            for answer in await asyncio.gather(*pending):
                assert isinstance(answer["items"], list)
            pending.clear()
    await asyncio.gather(*pending)
    status = await client.status()
    (document,) = [entry for entry in status["documents"] if entry["uri"] == uri]
    assert document["sha256"] == sha256_of(text)


async def test_a_killed_engine_comes_back(client: LspClient, repository: Path, home: Path) -> None:
    (path,) = _largest_files(repository, 1)
    uri = path.as_uri()
    text = path.read_text(encoding="utf-8")
    await client.open(uri, text)
    engines = _engines(home)
    assert engines
    for process in engines:
        os.kill(process, signal.SIGKILL)
    assert isinstance(await client.complete(uri, 10, 0, kind=1), list), "an empty answer, not an error"
    number = next(n for n, line in enumerate(text.split("\n")) if line.strip().startswith("return "))
    column = text.split("\n")[number].index("return ") + len("return ")
    for _ in range(100):
        if await client.complete(uri, number, column, kind=1):
            return
        await asyncio.sleep(0.2)
    raise AssertionError("no completion after the engine was killed")
