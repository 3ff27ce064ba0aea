"""Four kinds of editors against the real server and a scripted engine process; nothing in between is ours to fake."""

import asyncio
import sys

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient

from tests.support.client_profiles import PROFILES
from tests.support.scripted_home import CHECKOUT, SERVER, events, scripted_home

URI = "file:///somewhere/main.py"
SCRIPT = [
    {"after": r"slow = ", "text": "gather(values, key)", "token_ms": 60},
    {"after": r"guess = ", "text": "whatever(thing)", "sure": 0.01},
    {"after": r"total = ", "text": "gather(values)", "alternatives": ["collect(values)", "merge(values)"]},
    {"after": r"é😀'; x = ", "text": "gather(values)"},
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A MIDFILL_HOME with an engine of its own, which the server process inherits."""
    with scripted_home(tmp_path, SCRIPT) as home:
        monkeypatch.setenv("MIDFILL_HOME", str(home))
        monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
        yield home


@pytest_lsp.fixture(
    params=PROFILES,
    ids=[profile.name for profile in PROFILES],
    config=ClientServerConfig(server_command=[sys.executable, "-P", str(SERVER)]),
)
async def client(request, lsp_client: LanguageClient):
    profile = request.param
    lsp_client.profile = profile
    lsp_client.version = 1

    @lsp_client.feature(types.WORKSPACE_APPLY_EDIT)
    def apply(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        return types.ApplyWorkspaceEditResult(applied=True)

    params = types.InitializeParams(capabilities=profile.capabilities, client_info=profile.client_info)
    result = await lsp_client.initialize_session(params)
    assert result.capabilities.position_encoding == profile.encoding
    await until_ready(lsp_client)
    yield
    await lsp_client.shutdown_session()


async def until(holds, seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never happened")


async def until_ready(client) -> None:
    for _ in range(1500):
        status = await client.protocol.send_request_async("midfill/status", None)
        if status.engine.state == "ready":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the engine never became ready")


def open_document(client, text: str) -> None:
    item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))


def column(client, before: str) -> int:
    codec, unit = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[
        client.profile.encoding
    ]
    return len(before.encode(codec)) // unit


def put_in(client, line: int, before: str, text: str) -> None:
    """Type or insert text behind `before` on a line."""
    client.version += 1
    place = types.Position(line, column(client, before))
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=URI, version=client.version),
            content_changes=[
                types.TextDocumentContentChangePartial(range=types.Range(place, place), text=text)
            ],
        )
    )  # fmt: skip


async def ask(client, line: int, before: str, *, invoked: bool = False):
    kind = types.InlineCompletionTriggerKind
    result = await client.text_document_inline_completion_async(
        types.InlineCompletionParams(
            context=types.InlineCompletionContext(trigger_kind=kind.Invoked if invoked else kind.Automatic),
            text_document=types.TextDocumentIdentifier(uri=URI),
            position=types.Position(line, column(client, before)),
        )
    )
    return list(result.items)


async def test_a_suggestion_comes_in_the_clients_own_shape(client):
    open_document(client, "total = \n")
    [item] = await ask(client, 0, "total = ")
    if client.profile.replaces_line:
        assert item.insert_text == item.filter_text == "total = gather(values)"
        assert item.range.start.character == 0
    else:
        assert item.insert_text == "gather(values)"
        assert item.range.start == item.range.end == types.Position(0, 8)
    assert item.command.command == "midfill.accept"


async def test_columns_count_in_the_clients_own_units(client):
    open_document(client, "y = 'é😀'; x = \n")
    before = "y = 'é😀'; x = "
    [item] = await ask(client, 0, before)
    assert item.range.end == types.Position(0, column(client, before))


async def test_typing_through_asks_the_engine_once(client, home):
    open_document(client, "total = \n")
    await ask(client, 0, "total = ")
    name = None
    for typed in ("g", "ga", "gat"):
        put_in(client, 0, "total = " + typed[:-1], typed[-1])
        await asyncio.sleep(client.profile.pause_seconds)
        [item] = await ask(client, 0, "total = " + typed)
        assert item.insert_text.endswith("gather(values)"[len(typed) :])
        assert name in (None, item.command.arguments[0])
        name = item.command.arguments[0]
    assert events(home).count("'total = '") == 1


async def test_typing_ahead_of_the_engine_keeps_its_answer(client, home):
    open_document(client, "slow = \n")
    older = asyncio.ensure_future(ask(client, 0, "slow = "))
    await until(lambda: "'slow = '" in events(home))
    put_in(client, 0, "slow = ", "g")
    [item] = await ask(client, 0, "slow = g")
    assert item.insert_text.endswith("ather(values, key)")
    assert await older == []
    assert events(home).count("complete") == 1 + events(home).count("complete block")


async def test_typing_something_else_stops_the_engine(client, home):
    open_document(client, "slow = \n")
    older = asyncio.ensure_future(ask(client, 0, "slow = "))
    await until(lambda: "'slow = '" in events(home))
    put_in(client, 0, "slow = ", "7")
    assert await ask(client, 0, "slow = 7") == []
    assert await older == []
    await until(lambda: "abort" in events(home))


async def test_an_unsure_suggestion_waits_to_be_asked_for(client):
    open_document(client, "guess = \n")
    assert await ask(client, 0, "guess = ") == []
    [item] = await ask(client, 0, "guess = ", invoked=True)
    assert item.insert_text.endswith("whatever(thing)")


async def test_an_explicit_request_gets_several_to_choose_from(client):
    open_document(client, "total = \n")
    items = await ask(client, 0, "total = ", invoked=True)
    assert len({item.insert_text for item in items}) == 3
    assert len({item.command.arguments[0] for item in items}) == 3


async def test_the_inspector_says_what_was_sent_and_why_something_was_hidden(client):
    open_document(client, "guess = \n")
    await ask(client, 0, "guess = ")
    why = await client.protocol.send_request_async("midfill/why", {"textDocument": {"uri": URI}})
    assert why.reason == "too unsure"
    assert why.hidden[0].text == "whatever(thing)"
    assert why.confidenceNeeded > why.hidden[0].confidence
    assert "Why no suggestion" in why.text
    assert why.milliseconds.total > 0


async def test_what_is_accepted_is_counted(client):
    open_document(client, "total = \n")
    [item] = await ask(client, 0, "total = ")
    put_in(client, 0, "total = ", "gather(values)")
    params = types.ExecuteCommandParams(command=item.command.command, arguments=item.command.arguments)
    await client.workspace_execute_command_async(params)
    stats = await client.protocol.send_request_async("midfill/stats", {})
    assert stats.languages.all.accepted == 1
    assert stats.languages.python.acceptedCharacters == 14
    assert "values" not in stats.text


async def test_what_was_dismissed_three_times_is_not_shown_again(client):
    open_document(client, "total = \n")
    for _ in range(3):
        [item] = await ask(client, 0, "total = ")
        dismissed = {"item": {"command": {"arguments": item.command.arguments}}}
        client.protocol.notify("midfill/didDismissCompletion", dismissed)
    assert await ask(client, 0, "total = ") == []


async def test_suggestions_are_turned_off_and_on(client):
    open_document(client, "total = \n")
    status = await client.protocol.send_request_async("midfill/setEnabled", {"enabled": False, "language": "python"})
    assert status.disabledLanguages == ["python"]
    assert await ask(client, 0, "total = ") == []
    await client.protocol.send_request_async("midfill/setEnabled", {"enabled": True, "language": "python"})
    assert len(await ask(client, 0, "total = ")) == 1
