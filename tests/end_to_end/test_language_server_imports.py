"""Accepting a suggestion brings the import that it needs: the real server and index, an engine with a script."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import write_files
from tests.support.lsp_client import NEOVIM, LspClient, running_server
from tests.support.scripted_home import SERVER, scripted_home

APPLIES = {**NEOVIM, "capabilities": {**NEOVIM["capabilities"], "workspace": {
    **NEOVIM["capabilities"]["workspace"], "applyEdit": True,
}}}  # fmt: skip
SCRIPT = [
    {"after": r"settings = ", "text": "load_settings(folder)"},
    {"after": r"label = ", "text": "formatName(user)"},
    {"after": r"found = ", "text": "mystery(user)"},
]
FILES = {
    "app/__init__.py": "",
    "app/settings.py": "def load_settings(folder):\n    return {}\n",
    "first.py": "from app.settings import load_settings\n\nprint(load_settings('.'))\n",
    "second.py": "from app.settings import load_settings\n\nprint(load_settings('..'))\n",
    "src/lib/format.ts": "export function formatName(user: string): string {\n  return user;\n}\n",
    "src/lib/other.ts": "import { formatName } from './format';\n\nexport const other = formatName('x');\n",
    "one/mystery.py": "def mystery(user):\n    return user\n",
    "two/mystery.py": "def mystery(user):\n    return user\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("project"), FILES)


@pytest.fixture
async def client(tmp_path):
    with scripted_home(tmp_path, SCRIPT) as home:
        async with running_server(home, str(SERVER)) as client:
            yield client


async def accepted(client: LspClient, project: Path, name: str, text: str, profile: Any = APPLIES) -> tuple[str, str]:
    """Accept what is suggested at the ‸ in a file; returns its URI, and its text then."""
    await client.initialize(profile, project)
    await client.status_when(lambda status: [folder["state"] for folder in status["folders"]] == ["ready"])
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    uri = (project / name).as_uri()
    before, after = text.split("‸")
    line, column = before.count("\n"), len(before.rpartition("\n")[2])
    await client.open(uri, before + after, "typescript" if name.endswith(".ts") else "python")
    [item] = await client.complete(uri, line, column)
    await client.change(uri, 2, {"range": item["range"], "text": item["insertText"]})
    await client.request("workspace/executeCommand", item["command"])
    return uri, before + item["insertText"] + after


def imported(client: LspClient, uri: str, text: str) -> str:
    """Return a text with the one edit that the client was asked to make."""
    [message] = [message for message in client.received if message["method"] == "workspace/applyEdit"]
    [change] = message["params"]["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": uri, "version": 2}
    [edit] = change["edits"]
    lines = text.split("\n")
    start, end = (
        sum(len(line) + 1 for line in lines[: place["line"]]) + place["character"]
        for place in (edit["range"]["start"], edit["range"]["end"])
    )
    return text[:start] + edit["newText"] + text[end:]


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        pytest.param(
            "start.py",
            "import os\n\n\ndef start(folder):\n    settings = ‸\n",
            "import os\nfrom app.settings import load_settings\n\n\n"
            "def start(folder):\n    settings = load_settings(folder)\n",
            id="Python: a statement behind the imports that are there",
        ),
        pytest.param(
            "extended.py",
            "from app.settings import other\n\nsettings = ‸\n",
            "from app.settings import load_settings, other\n\nsettings = load_settings(folder)\n",
            id="Python: one more name in the statement that imports from there",
        ),
        pytest.param(
            "src/app/main.ts",
            "import { join } from 'path';\n\nexport function main(user: string) {\n  const label = ‸\n}\n",
            "import { join } from 'path';\nimport { formatName } from '../lib/format';\n\n"
            "export function main(user: string) {\n  const label = formatName(user)\n}\n",
            id="TypeScript: a relative path as seen from this file, in this file's quotes",
        ),
    ],
)
async def test_what_was_accepted_is_imported(client, project, name, text, result):
    uri, now = await accepted(client, project, name, text)
    assert imported(client, uri, now) == result


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("a.py", "from app.settings import load_settings\n\nsettings = ‸\n", id="a name imported already"),
        pytest.param("b.py", "def load_settings(folder): ...\n\nsettings = ‸\n", id="a name defined in the file"),
        pytest.param("c.py", "found = ‸\n", id="a name that two files define and none imports"),
    ],
)
async def test_nothing_is_imported_that_is_not_missing_or_not_clear(client, project, name, text):
    await accepted(client, project, name, text)
    assert "workspace/applyEdit" not in client.methods()


async def test_a_client_that_applies_no_edits_is_asked_for_none(client, project):
    await accepted(client, project, "d.py", "settings = ‸\n", NEOVIM)
    assert "workspace/applyEdit" not in client.methods()


async def test_an_item_that_nobody_was_shown_imports_nothing(client, project):
    await client.initialize(APPLIES, project)
    await client.request("workspace/executeCommand", {"command": "midfill.accept", "arguments": ["unknown"]})
    await asyncio.sleep(0)
    assert "workspace/applyEdit" not in client.methods()
