"""Folders, files and their index, over the real server and index processes; the engine is scripted."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.lsp_client import BARE, NEOVIM, VSCODE, running_server

SCRIPT = str(Path(__file__).parents[1] / "support" / "scripted_server.py")


@pytest.fixture
async def client(tmp_path, events):
    async with running_server(tmp_path / "home", SCRIPT, str(events)) as client:
        yield client


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project", "load_settings")


def make_project(root: Path, function: str) -> Path:
    (root / "app").mkdir(parents=True)
    (root / "app" / "__init__.py").touch()
    (root / "app" / "settings.py").write_text(f"def {function}(path):\n    return _done(path.read_text())\n")
    (root / "main.py").write_text(f"from app.settings import {function}\n\n\nresult = {function}(\n")
    return root


async def indexed(client, count: int = 1):
    return await client.status_when(
        lambda status: [folder["state"] for folder in status["folders"]] == ["ready"] * count
    )


async def eventually(events: Path, line: str, seconds: float = 10) -> None:
    for _ in range(int(seconds / 0.02)):
        if line in events.read_text():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{line!r} never happened:\n{events.read_text()}")


async def test_a_workspace_folder_is_indexed_and_the_engine_learns_it(client, events, project):
    await client.initialize(NEOVIM, project)
    status = await indexed(client)
    [folder] = status["folders"]
    assert (folder["root"], folder["state"], folder["files"]) == (str(project), "ready", 3)
    await eventually(events, f"learn {project} ['app/__init__.py', 'app/settings.py', 'main.py']")


async def test_a_request_carries_the_files_place_in_its_repository(client, events, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    uri = (project / "main.py").as_uri()
    await client.open(uri, (project / "main.py").read_text())
    assert len(await client.complete(uri, 3, 23)) == 1
    assert f"path=main.py collection={project} length=line" in events.read_text()


async def test_indexing_is_shown_where_the_client_can_show_it(client, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    await client.until(lambda received: any(is_end(message) for message in received))
    kinds = [message["params"]["value"]["kind"] for message in client.received if message["method"] == "$/progress"]
    assert (kinds[0], kinds[-1]) == ("begin", "end")
    tokens = {message["params"]["token"] for message in client.received if message["method"] == "$/progress"}
    [create] = [m for m in client.received if m["method"] == "window/workDoneProgress/create"]
    assert tokens == {create["params"]["token"]}


def is_end(message) -> bool:
    return message["method"] == "$/progress" and message["params"]["value"]["kind"] == "end"


async def test_a_client_that_shows_no_progress_gets_none(client, project):
    await client.initialize(BARE, project)
    await indexed(client)
    assert not {"$/progress", "window/workDoneProgress/create"} & set(client.methods())


async def test_watched_files_are_registered_with_clients_that_let_us(client, project):
    await client.initialize(VSCODE, project)
    await client.until(lambda received: "client/registerCapability" in [m["method"] for m in received])
    [message] = [m for m in client.received if m["method"] == "client/registerCapability"]
    methods = [registration["method"] for registration in message["params"]["registrations"]]
    assert sorted(methods) == ["workspace/didChangeConfiguration", "workspace/didChangeWatchedFiles"]


async def test_folders_come_and_go(client, tmp_path, project):
    other = make_project(tmp_path / "other", "connect")
    await client.initialize(NEOVIM, project)
    await indexed(client)
    event = {"added": [{"uri": other.as_uri(), "name": "other"}], "removed": []}
    await client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    status = await indexed(client, 2)
    assert [folder["root"] for folder in status["folders"]] == [str(project), str(other)]
    event = {"added": [], "removed": [{"uri": project.as_uri(), "name": "project"}]}
    await client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    status = await indexed(client, 1)
    assert [folder["root"] for folder in status["folders"]] == [str(other)]


async def test_a_file_made_on_disk_is_indexed_and_learned_and_a_deleted_one_forgotten(client, events, project):
    await client.initialize(VSCODE, project)
    await indexed(client)
    made = project / "app" / "made.py"
    made.write_text("def made():\n    return 1\n")
    await client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": made.as_uri(), "type": 1}]})
    await eventually(events, f"learn {project} ['app/made.py']")
    assert (await client.status())["folders"][0]["files"] == 4
    await client.notify("workspace/didDeleteFiles", {"files": [{"uri": (project / "app").as_uri()}]})
    await eventually(events, f"forget {project} ['app/__init__.py', 'app/made.py', 'app/settings.py']")
    assert (await client.status())["folders"][0]["files"] == 1


async def test_a_renamed_file_is_forgotten_under_its_old_name_and_learned_under_the_new(client, events, project):
    await client.initialize(VSCODE, project)
    await indexed(client)
    old, new = project / "main.py", project / "start.py"
    old.rename(new)
    await client.notify("workspace/didRenameFiles", {"files": [{"oldUri": old.as_uri(), "newUri": new.as_uri()}]})
    await eventually(events, f"forget {project} ['main.py']")
    await eventually(events, f"learn {project} ['start.py']")


async def test_a_renamed_folder_takes_its_files_along(client, events, project):
    await client.initialize(VSCODE, project)
    await indexed(client)
    old, new = project / "app", project / "core"
    old.rename(new)
    await client.notify("workspace/didRenameFiles", {"files": [{"oldUri": old.as_uri(), "newUri": new.as_uri()}]})
    await eventually(events, f"forget {project} ['app/__init__.py', 'app/settings.py']")
    await eventually(events, "core/settings.py")
    await client.status_when(lambda status: status["folders"][0]["files"] == 3)


async def test_a_saved_file_is_learned_again(client, events, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    uri = (project / "main.py").as_uri()
    await client.open(uri, "x = 1\n")
    await client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    await eventually(events, f"learn {project} ['main.py']")


async def test_a_file_that_must_not_be_indexed_is_not_learned(client, events, project):
    (project / ".gitignore").write_text("secret.py\n")
    await client.initialize(VSCODE, project)
    await indexed(client)
    for name in ("secret.py", ".env", "later.py"):
        (project / name).write_text("x = 1\n")
        change = {"uri": (project / name).as_uri(), "type": 1}
        await client.notify("workspace/didChangeWatchedFiles", {"changes": [change]})
    await eventually(events, "'later.py'")
    assert "secret.py" not in events.read_text()
    assert ".env" not in events.read_text()


async def test_a_killed_index_process_comes_back(client, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    [worker] = children(client.process.pid, "lsp_server.index_worker")
    os.kill(worker, signal.SIGKILL)
    await client.status_when(lambda status: status["folders"][0]["state"] == "indexing")
    await indexed(client)
    assert children(client.process.pid, "lsp_server.index_worker") != [worker]


async def test_the_index_process_ends_with_the_server_even_when_that_is_killed(client, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    [worker] = children(client.process.pid, "lsp_server.index_worker")
    client.process.kill()
    await client.process.wait()
    for _ in range(500):
        if not is_running(worker):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the index process lives on")


async def test_a_folder_that_cannot_be_indexed_leaves_completions_without_it(client, tmp_path):
    await client.initialize(NEOVIM, tmp_path / "missing")
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    uri = (tmp_path / "missing" / "a.py").as_uri()
    await client.open(uri, "x = \n")
    assert len(await client.complete(uri, 0, 4)) == 1


async def test_an_index_turned_off_is_not_made(tmp_path, events, project):
    settings = {"repositoryContext": False}
    async with running_server(tmp_path / "home", SCRIPT, str(events), settings=settings) as client:
        await client.initialize(NEOVIM, project)
        await client.status_when(lambda status: status["engine"]["state"] == "ready")
        assert (await client.status())["folders"] == []


async def test_commands_restart_the_engine_and_index_anew(client, events, project):
    await client.initialize(NEOVIM, project)
    await indexed(client)
    await client.request("workspace/executeCommand", {"command": "midfill.restartEngine", "arguments": []})
    await eventually(events, "close")
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    await client.request("workspace/executeCommand", {"command": "midfill.reindex"})
    await indexed(client)
    assert events.read_text().count("connect") == 2


async def test_a_hostile_workspace_runs_nothing_of_its_own(tmp_path, events, project):
    decoy = "raise SystemExit('the workspace ran')\n"
    for name in ("json.py", "train.py", "typing.py", "numpy.py", "asyncio.py"):
        (project / name).write_text(decoy)
    for name in ("engine", "lsp_server", "repo_context", "tree_sitter", "pygls"):
        (project / name).mkdir()
        (project / name / "__init__.py").write_text(decoy)
    async with running_server(tmp_path / "home", SCRIPT, str(events), cwd=project) as client:
        await client.initialize(NEOVIM, project)
        await indexed(client)
        uri = (project / "main.py").as_uri()
        await client.open(uri, "x = \n")
        assert len(await client.complete(uri, 0, 4)) == 1


def children(process_id: int, module: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if parent == process_id and module in command:
                found.append(int(entry.name))
    return found


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
