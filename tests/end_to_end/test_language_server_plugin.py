"""What plug-ins ask and are told beyond the standard: switches, the status, and the popup's selected entry."""

import asyncio
from itertools import pairwise

import pytest

from tests.support.lsp_client import NEOVIM, VSCODE, running_server
from tests.support.scripted_home import SERVER, events, scripted_home

URI = "file:///somewhere/main.py"
SCRIPT = [
    {"after": r"\.log", "text": "(values)"},
    {"after": r"print\(value", "text": "s)"},
    {"after": r"= ", "text": "gather(values)"},
]
LISTENS = {**NEOVIM, "capabilities": {
    **NEOVIM["capabilities"], "experimental": {"midfill": {"statusNotifications": True}},
}}  # fmt: skip


@pytest.fixture
def home(tmp_path):
    with scripted_home(tmp_path, SCRIPT) as home:
        yield home


@pytest.fixture
async def client(home):
    async with running_server(home, str(SERVER)) as client:
        yield client


async def started(client, profile=NEOVIM, options=None) -> None:
    await client.initialize(profile, options=options)
    await client.status_when(lambda status: status["engine"]["state"] == "ready")


async def test_turned_off_everywhere_nothing_is_suggested_and_no_engine_is_asked(client, home):
    await started(client)
    status = await client.request("midfill/setEnabled", {"enabled": False})
    assert (status["enabled"], status["kind"]) == (False, "inactive")
    await client.open(URI, "x = \n")
    assert await client.complete(URI, 0, 4) == []
    assert "complete" not in events(home)
    assert (await client.request("midfill/setEnabled", {"enabled": True}))["kind"] == "normal"
    assert len(await client.complete(URI, 0, 4)) == 1


async def test_turned_off_in_one_language_the_others_go_on(client):
    await started(client)
    await client.request("midfill/setEnabled", {"enabled": False, "language": "python"})
    await client.open(URI, "x = \n")
    await client.open("file:///a.go", "x = \n", "go")
    assert await client.complete(URI, 0, 4) == []
    assert len(await client.complete("file:///a.go", 0, 4)) == 1


async def test_a_switch_wins_over_settings_that_come_later(client):
    await started(client)
    await client.request("midfill/setEnabled", {"enabled": False})
    await client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {"enabled": True}}})
    assert (await client.status())["enabled"] is False


async def test_a_language_that_the_settings_turn_off_can_be_turned_on(client):
    await started(client, options={"disabledLanguages": ["python", "go"]})
    status = await client.request("midfill/setEnabled", {"enabled": True, "language": "python"})
    assert status["disabledLanguages"] == ["go"]


async def test_turned_off_an_explicit_request_is_answered_still(client):
    await started(client)
    await client.request("midfill/setEnabled", {"enabled": False})
    await client.open(URI, "x = \n")
    assert len(await client.complete(URI, 0, 4, kind=1)) == 1


@pytest.mark.parametrize("params", [{}, {"enabled": "no"}, {"enabled": True, "language": 3}, None])
async def test_a_senseless_switch_is_refused_and_changes_nothing(client, params):
    await started(client)
    reply = await asyncio.gather(client.request("midfill/setEnabled", params), return_exceptions=True)
    assert reply[0].code == -32602
    assert (await client.status())["enabled"] is True


async def test_a_client_that_listens_is_told_every_change_of_the_status_once(client):
    await started(client, LISTENS)
    await client.until(lambda received: "normal" in kinds(received))
    for enabled, kind in ((False, "inactive"), (True, "normal")):
        before = len(kinds(client.received))
        await client.request("midfill/setEnabled", {"enabled": enabled})
        await client.until(lambda received, before=before: len(kinds(received)) > before)
        assert kinds(client.received)[before:] == [kind]
    told = [message["params"] for message in client.received if message["method"] == "midfill/didChangeStatus"]
    assert all(one != other for one, other in pairwise(told))
    assert "documents" not in told[-1]


async def test_a_client_that_does_not_listen_is_told_nothing(client):
    await started(client)
    await client.request("midfill/setEnabled", {"enabled": False})
    await client.status()
    assert "midfill/didChangeStatus" not in client.methods()


@pytest.mark.parametrize("profile", [NEOVIM, VSCODE], ids=["Neovim", "VS Code"])
async def test_a_suggestion_goes_on_from_the_popups_entry_over_its_range(client, profile):
    await started(client, profile)
    await client.open(URI, "console.lo\n")
    selected = selection(7, 10, ".log")
    [item] = await client.complete(URI, 0, 10, selectedCompletionInfo=selected)
    assert (item["insertText"], item["range"]) == (".log(values)", selected["range"])
    assert item["command"]["command"] == "midfill.accept"


async def test_an_entry_that_the_engine_has_nothing_to_say_after_gets_nothing(client):
    await started(client)
    await client.open(URI, "console.wa\n")
    assert await client.complete(URI, 0, 10, selectedCompletionInfo=selection(8, 10, "warn")) == []


async def test_another_entry_is_another_question(client, home):
    await started(client)
    await client.open(URI, "console.lo\n")
    assert await client.complete(URI, 0, 10, selectedCompletionInfo=selection(8, 10, "local")) == []
    [item] = await client.complete(URI, 0, 10, selectedCompletionInfo=selection(8, 10, "log"))
    assert item["insertText"] == "log(values)"
    assert "'console.local'" in events(home)


async def test_what_the_editor_closed_behind_an_entry_is_not_doubled(client):
    await started(client)
    await client.open(URI, "print(va)\n")
    [item] = await client.complete(URI, 0, 8, selectedCompletionInfo=selection(6, 8, "value"))
    assert item["insertText"] == "values"
    assert item["range"] == selection(6, 8, "")["range"]


def selection(start: int, end: int, text: str) -> dict:
    place = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}}
    return {"range": place, "text": text}


def kinds(received: list[dict]) -> list[str]:
    return [message["params"]["kind"] for message in received if message["method"] == "midfill/didChangeStatus"]
