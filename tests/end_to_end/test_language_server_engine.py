"""The whole path: a client, the server, the index process and the engine daemon with a tiny model; nothing scripted."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from lsp_server.running_engines import running_engines
from tests.support.engine_process import engine_home
from tests.support.lsp_client import NEOVIM, VSCODE, LspError, running_server


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A repository that says the same thing often enough for its statistics to be sure of it."""
    root = tmp_path_factory.mktemp("project")
    (root / "settings.py").write_text("def load_settings(folder):\n    return {}\n")
    for number in range(30):
        (root / f"module_{number}.py").write_text(
            f"from settings import load_settings\n\n\ndef run_{number}(folder):\n"
            "    settings = load_settings(folder)\n    return settings\n"
        )
    return root


@pytest.fixture
async def client(home, model):
    # A model that knows nothing makes even what a repository always says a little unsure.
    settings = {"model": str(model), "threads": 1, "assertiveness": "eager"}
    async with running_server(home, settings=settings, environment={"OMP_NUM_THREADS": "1"}) as client:
        yield client


async def ready(client, project, profile=NEOVIM):
    await client.initialize(profile, project)
    return await client.status_when(
        lambda status: status["engine"]["state"] == "ready" and [f["state"] for f in status["folders"]] == ["ready"]
    )


TEXT = "from settings import load_settings\n\n\ndef start(folder):\n    settings = "


async def completed(client, uri, seconds: float = 120, text: str = TEXT) -> list[dict]:
    """Ask until something comes: the engine is learning in the background."""
    for version in range(int(seconds / 0.1)):
        await client.change(uri, 2 + version, {"text": text})
        items = await client.complete(uri, 4, 15)
        if items:
            return items
        await asyncio.sleep(0.1)
    return []


async def test_a_repositorys_habits_are_completed(client, project):
    await ready(client, project)
    uri = (project / "start.py").as_uri()
    await client.open(uri, TEXT)
    [item] = await completed(client, uri)
    assert item["insertText"].strip()
    assert "\n" not in item["insertText"]
    assert item["range"] == {"start": {"line": 4, "character": 15}, "end": {"line": 4, "character": 15}}


async def test_before_the_engine_is_ready_the_answer_is_empty_at_once(tmp_path, model, project):
    with engine_home(tmp_path / "home") as home:
        async with running_server(home, settings={"model": str(model)}) as client:
            await client.initialize(NEOVIM, project)
            uri = (project / "start.py").as_uri()
            await client.open(uri, TEXT)
            assert await client.complete(uri, 4, 15) == []
            assert (await client.status())["engine"]["state"] in ("idle", "starting")


async def test_a_cancelled_request_is_answered_while_the_engine_writes(client, project):
    await ready(client, project, VSCODE)
    uri = (project / "start.py").as_uri()
    await client.open(uri, TEXT)
    waits = []
    for version in range(2, 12):
        await client.change(uri, version, {"text": TEXT + "x" * version})
        request_id, reply = client.ask(uri, 4, 15 + version, kind=1)
        await asyncio.sleep(0.005)
        start = time.perf_counter()
        client.cancel(request_id)
        # A request that was quicker than its cancellation has its suggestion.
        [outcome] = await asyncio.gather(reply, return_exceptions=True)
        if isinstance(outcome, LspError):
            waits.append((time.perf_counter() - start) * 1000)
            assert outcome.code == -32800
    print(f"cancelled after {', '.join(f'{wait:.1f}' for wait in waits)} ms")


async def test_an_engine_that_was_killed_comes_back_without_a_request_waiting_for_it(client, project, home):
    await ready(client, project)
    uri = (project / "start.py").as_uri()
    await client.open(uri, TEXT)
    assert await completed(client, uri)
    before = await engine_processes(home)
    for process_id in before:
        os.kill(process_id, signal.SIGKILL)
    # Another text: what was suggested for the first is still known here.
    assert await completed(client, uri, text=TEXT.replace("start", "begin"))
    assert await engine_processes(home) - before


async def test_a_model_that_cannot_be_served_leaves_empty_answers_and_one_log_line(tmp_path, project):
    (tmp_path / "model").mkdir()
    settings = {"model": str(tmp_path / "model")}
    async with running_server(tmp_path / "home", settings=settings) as client:
        await client.initialize(NEOVIM, project)
        status = await client.status_when(lambda status: status["engine"]["state"] == "failed")
        assert "config.json" in status["engine"]["problem"]
        uri = (project / "start.py").as_uri()
        await client.open(uri, TEXT)
        assert await client.complete(uri, 4, 15) == []
        assert "window/showMessage" not in client.methods()
    log = (tmp_path / "home" / "state" / "midfill.log").read_text()
    assert len([line for line in log.splitlines() if "the engine is not available" in line]) == 1


async def test_after_exit_only_the_shared_engine_is_left(client, project, home):
    await ready(client, project)
    server = client.process.pid
    assert await client.stop() == 0
    assert descendants(server) == []
    assert await engine_processes(home)


async def engine_processes(home) -> set[int]:
    return {status.process_id for _, status in await running_engines(home / "run") if status is not None}


def descendants(process_id: int) -> list[str]:

    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == process_id:
                found.append(entry.name)
    return found
