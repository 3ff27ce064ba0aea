"""The protocol, over real pipes to the real server process; the engine is scripted, and so is the order of events."""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

import pytest

from lsp_server.document import split_lines
from tests.support.lsp_client import BARE, NEOVIM, VSCODE, LspError, running_server, sha256_of

SCRIPT = str(Path(__file__).parents[1] / "support" / "scripted_server.py")
URI = "file:///somewhere/main.py"


@pytest.fixture
async def client(tmp_path, events):
    async with running_server(tmp_path / "home", SCRIPT, str(events)) as client:
        yield client


async def started(client, profile=NEOVIM, *roots, options=None):
    result = await client.initialize(profile, *roots, options=options)
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    return result


async def eventually(events: Path, line: str, seconds: float = 5) -> None:
    for _ in range(int(seconds / 0.01)):
        if line in events.read_text():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{line!r} never happened:\n{events.read_text()}")


async def test_inline_completion_is_advertised_as_an_object(client):
    result = await client.initialize()
    assert result["capabilities"]["inlineCompletionProvider"] == {}
    assert result["capabilities"]["textDocumentSync"] == {
        "openClose": True, "change": 2, "save": {"includeText": False},
    }  # fmt: skip
    assert result["serverInfo"]["name"] == "midfill"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-16"], "utf-16"),
        (["utf-32", "utf-8"], "utf-32"),
        (["utf-7", "utf-32"], "utf-32"),
        (None, "utf-16"),
        ("nonsense", "utf-16"),
    ],
)
async def test_the_clients_first_known_position_encoding_is_used(client, offered, chosen):
    profile = {"capabilities": {"general": {"positionEncodings": offered}}}
    assert (await client.initialize(profile))["capabilities"]["positionEncoding"] == chosen


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_a_cursor_behind_wide_characters_is_understood_and_answered_in_the_clients_units(client, encoding):
    await started(client, {"capabilities": {"general": {"positionEncodings": [encoding]}}})
    codec, unit = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    before = "é = '😀'; total"
    await client.open(URI, f"{before}(x)\n")
    column = len((before + "(").encode(codec)) // unit
    await client.open(URI, f"{before}()\n", version=2)
    [item] = await client.complete(URI, 0, column)
    assert item["insertText"] == "_done(value)"
    assert item["range"]["start"] == {"line": 0, "character": column}


async def test_a_suggestion_at_the_cursor_has_an_empty_range_there(client):
    await started(client)
    await client.open(URI, "x = 1\ny = \n")
    [item] = await client.complete(URI, 1, 4)
    assert item.pop("command")["command"] == "midfill.accept"
    assert item == {
        "insertText": "_done(value)",
        "range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 4}},
    }


async def test_vs_code_gets_the_line_up_to_the_cursor_replaced(client):
    await started(client, VSCODE)
    await client.open(URI, "if a:\n    y = \n")
    [item] = await client.complete(URI, 1, 8)
    assert item["insertText"] == item["filterText"] == "    y = _done(value)"
    assert item["range"] == {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 8}}


async def test_a_selected_popup_entry_is_extended_over_its_own_range(client):
    await started(client, VSCODE)
    await client.open(URI, "console.\n")
    selected = {"range": {"start": {"line": 0, "character": 7}, "end": {"line": 0, "character": 8}}, "text": ".log"}
    [item] = await client.complete(URI, 0, 8, selectedCompletionInfo=selected)
    assert item["insertText"] == ".log_done(value)"
    assert item["range"] == selected["range"]


@pytest.mark.parametrize(
    ("text", "line", "character"),
    [("x = 1 + 2\n", 0, 4), ("", 0, 0), ("x = broken \n", 0, 11)],
    ids=["middle of a line", "empty document", "engine error"],
)
async def test_nothing_to_suggest_is_an_empty_list(client, text, line, character):
    await started(client)
    await client.open(URI, text)
    assert await client.ask(URI, line, character)[1] == {"items": []}


async def test_a_document_that_is_not_open_gets_an_empty_list(client):
    await started(client)
    assert await client.ask("file:///nowhere.py", 0, 0)[1] == {"items": []}


async def test_an_explicit_request_is_answered_in_the_middle_of_a_line(client):
    await started(client)
    await client.open(URI, "x = 1 + 2\n")
    assert [item["insertText"] for item in await client.complete(URI, 0, 4, kind=1)] == ["_done(value)"]


async def test_a_cancelled_request_is_answered_as_cancelled_and_the_engine_is_stopped(client, events):
    await started(client)
    await client.open(URI, "x = slow \n")
    request_id, reply = client.ask(URI, 0, 9)
    await eventually(events, "begin slow")
    start = time.perf_counter()
    client.cancel(request_id)
    with pytest.raises(LspError, match="-32800"):
        await reply
    print(f"cancelled after {(time.perf_counter() - start) * 1000:.1f} ms")
    await eventually(events, "stopped slow")


async def test_a_request_cancelled_in_the_same_breath_is_answered_as_cancelled(client):
    await started(client)
    await client.open(URI, "x = slow \n")
    request_id, reply = client.ask(URI, 0, 9)
    client.cancel(request_id)
    with pytest.raises(LspError, match="-32800"):
        await reply


async def test_a_superseded_request_is_answered_empty_before_the_newer_one_and_the_engine_is_stopped(client, events):
    await started(client)
    await client.open(URI, "x = slow \ny = \n")
    older_id, older = client.ask(URI, 0, 9)
    await eventually(events, "begin slow")
    newer_id, newer = client.ask(URI, 1, 4)
    assert await older == {"items": []}
    assert len((await newer)["items"]) == 1
    assert client.replies.index(older_id) < client.replies.index(newer_id)
    await eventually(events, "stopped slow")


async def test_requests_on_other_documents_are_left_alone(client, events):
    await started(client)
    await client.open(URI, "x = slow \n")
    await client.open("file:///other.py", "y = \n")
    _, slow = client.ask(URI, 0, 9)
    await eventually(events, "begin slow")
    assert len(await client.complete("file:///other.py", 0, 4)) == 1
    assert not slow.done()


async def test_a_request_sees_the_text_as_it_was_when_it_was_sent(client, events):
    await started(client)
    await client.open(URI, "a = one \n")
    _, reply = client.ask(URI, 0, 8)
    await client.change(URI, 2, {"text": "b = two \n"})
    await reply
    assert "begin one" in events.read_text()


async def test_typing_a_suggestion_asks_the_engine_once(client, events):
    await started(client, options={"lookAhead": False})  # which asks for what would follow, once, by itself
    await client.open(URI, "x = \n")
    await client.complete(URI, 0, 4)
    typed = "_done("
    for place, character in enumerate(typed):
        at = {"line": 0, "character": 4 + place}
        await client.change(URI, 2 + place, {"range": {"start": at, "end": at}, "text": character})
        [item] = await client.complete(URI, 0, 5 + place)
        assert item["insertText"] == "_done(value)"[place + 1 :]
    for place in reversed(range(len(typed))):
        span = {"start": {"line": 0, "character": 4 + place}, "end": {"line": 0, "character": 5 + place}}
        await client.change(URI, 20 - place, {"range": span, "text": ""})
        assert len(await client.complete(URI, 0, 4 + place)) == 1
    assert events.read_text().count("begin") == 1


async def test_a_thousand_random_edits_and_requests_leave_the_mirror_equal_to_the_clients_text(client):
    await started(client, VSCODE)
    dice = random.Random(11)
    pieces = ["a", "f(", ")", " ", "\n", "\r\n", "\r", "\x0c", "\u2028", "\x85", "é", "😀", "slow ", "    ", "\ud83d"]
    text, answers = "", []
    await client.open(URI, text)
    for version in range(2, 1_002):
        lines = split_lines(text)
        start = random_place(dice, lines)
        end = start if dice.random() < 0.7 else max(start, random_place(dice, lines))
        inserted = "".join(dice.choices(pieces, k=dice.randrange(4)))
        text = text[: offset(lines, start)] + inserted + text[offset(lines, end) :]
        await client.change(
            URI, version, {"range": {"start": protocol(lines, start), "end": protocol(lines, end)}, "text": inserted}
        )
        lines = split_lines(text)
        cursor = protocol(lines, random_place(dice, lines))
        answers.append(client.ask(URI, cursor["line"], cursor["character"], kind=dice.choice((1, 2)))[1])
        if version % 100 == 0:
            [document] = (await client.status())["documents"]
            assert (document["version"], document["sha256"]) == (version, sha256_of(text))
    await client.open("file:///other.py", "")
    client.ask(URI, 0, 0)
    results = await asyncio.wait_for(asyncio.gather(*answers), 60)
    assert all(set(result) == {"items"} for result in results)
    [document, _] = (await client.status())["documents"]
    assert (document["version"], document["sha256"]) == (1_001, sha256_of(text))


def random_place(dice, lines) -> tuple[int, int]:
    line = dice.randrange(len(lines))
    return line, dice.randrange(len(lines[line].rstrip("\r\n")) + 1)


def offset(lines, place) -> int:
    return sum(map(len, lines[: place[0]])) + place[1]


def protocol(lines, place) -> dict[str, int]:
    line, index = place
    return {"line": line, "character": len(lines[line][:index].encode("utf-16-le", "surrogatepass")) // 2}


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
async def test_only_the_protocols_line_ends_count_lines(client, odd):
    await started(client)
    await client.open(URI, f"a = 1\n{odd}\nb = 2\n")
    span = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 1}}
    await client.change(URI, 2, {"range": span, "text": "B"})
    [document] = (await client.status())["documents"]
    assert document["sha256"] == sha256_of(f"a = 1\n{odd}\nB = 2\n")


async def test_an_unknown_setting_is_named_with_the_closest_known_one_and_the_rest_applies(tmp_path, events):
    settings = {"maxToken": 9, "threads": "many", "disabledLanguages": ["python"]}
    async with running_server(tmp_path / "home", SCRIPT, str(events), settings=settings) as client:
        await started(client)
        await client.open(URI, "x = \n")
        assert await client.complete(URI, 0, 4) == []
        lines = [m["params"]["message"] for m in client.received if m["method"] == "window/logMessage"]
        assert lines == [
            "midfill: unknown setting 'midfill.maxToken' is ignored; did you mean 'midfill.maxTokens'?",
            "midfill: setting 'midfill.threads' must be a whole number from 0 to 256, not \"many\"; it is ignored",
        ]
        assert "window/showMessage" not in client.methods()


async def test_settings_come_from_initialization_options_and_pushed_configuration(client):
    await started(client, BARE, options={"enabled": False})
    await client.open(URI, "x = \n")
    assert await client.complete(URI, 0, 4) == []
    await client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {"enabled": True}}})
    assert len(await client.complete(URI, 0, 4)) == 1


async def test_another_model_connects_to_another_engine(client, events):
    await started(client, BARE)
    await client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {"model": "other"}}})
    await eventually(events, "connect other")


async def test_a_setting_named_like_a_protocol_field_breaks_nothing(client):
    await started(client, BARE)
    settings = {"midfill": {"jsonrpc": "2.0"}, "other": {"jsonrpc": "2.0", "method": "exit", "id": 1}}
    await client.notify("workspace/didChangeConfiguration", {"settings": settings})
    await client.open(URI, "x = \n")
    assert len(await client.complete(URI, 0, 4)) == 1
    assert "window/showMessage" not in client.methods()


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'{"jsonrpc": "2.0"}', b'{"jsonrpc": "1.0", "method": "x", "id": 5}', b"[" * 100_000,
     b'{"jsonrpc": "2.0", "method": "textDocument/didChange", "params": {"textDocument": 7}}',
     b'{"jsonrpc": "2.0", "id": "nobody-asked", "result": {}}', b'{"jsonrpc": "2.0", "method": 7}',
     b'{"jsonrpc": "2.0", "method": "no/such/notification", "params": {}}'],
    ids=range(10),
)  # fmt: skip
async def test_a_broken_message_is_ignored_without_a_popup(client, body):
    await started(client)
    client.write_raw(body)
    await client.open(URI, "x = \n")
    assert len(await client.complete(URI, 0, 4)) == 1
    assert "window/showMessage" not in client.methods()


async def test_a_request_with_senseless_parameters_gets_an_error_reply(client):
    await started(client)
    with pytest.raises(LspError, match="-32602"):
        await client.request("textDocument/inlineCompletion", {"textDocument": 3})
    with pytest.raises(LspError, match="-32601"):
        await client.request("no/such/request", {})
    with pytest.raises(LspError, match="-32602"):
        await client.request("workspace/executeCommand", {"command": "no.such.command"})


async def test_requests_outside_of_a_session_are_refused(client):
    with pytest.raises(LspError, match="-32002"):
        await client.request("textDocument/inlineCompletion", {})
    await client.initialize()
    with pytest.raises(LspError, match="-32600"):
        await client.request("initialize", {"capabilities": {}})
    await client.request("shutdown")
    with pytest.raises(LspError, match="-32600"):
        await client.status()


async def test_shutdown_and_exit_end_the_process_with_0(client, events):
    await started(client)
    assert await client.stop() == 0
    assert "close" in events.read_text()


async def test_exit_without_shutdown_ends_the_process_with_1(client):
    await started(client)
    await client.notify("exit")
    assert await asyncio.wait_for(client.process.wait(), 10) == 1


async def test_a_client_that_vanishes_ends_the_process(client, events):
    await started(client)
    client.process.stdin.close()
    assert await asyncio.wait_for(client.process.wait(), 10) == 1
    assert "close" in events.read_text()


async def test_the_log_holds_no_source_text(client, tmp_path):
    await started(client)
    secret = "correct_horse_battery"
    await client.open(URI, f"{secret} = broken \n")
    await client.complete(URI, 0, len(secret) + 10)
    await client.change(URI, 2, {"text": f"{secret} = \n"})
    await client.complete(URI, 0, len(secret) + 3)
    client.write_raw(json.dumps({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"x": secret}}).encode())
    await client.stop()
    log = (tmp_path / "home" / "state" / "midfill.log").read_text()
    assert "the script says so" in log
    assert secret not in log


async def test_initialize_is_answered_without_the_slow_imports(tmp_path):
    code = (
        "import sys; from lsp_server.first_answer import answer_initialize; import lsp_server.cli;"
        "slow = {'torch', 'numpy', 'tokenizers', 'tree_sitter', 'pygls', 'lsprotocol', 'asyncio', 'huggingface_hub'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (await process.communicate())[0] == b"[]\n"
