"""What becomes of suggestions, told by edits and by clients; the store is a real file."""

import asyncio

import pytest

from lsp_server import shown_items, stats_store
from lsp_server.completion.answer import Ranked
from lsp_server.completion.postprocess import Suggestion
from lsp_server.completion.snapshot import Snapshot
from lsp_server.document import Document, Edit, Position
from lsp_server.positions import PositionEncoding
from lsp_server.shown_items import ShownItems
from lsp_server.stats_store import KeptRow, RequestRow, SuggestionRow

URI = "file:///a.py"


class Bench:
    """One document, and what was recorded of its suggestions."""

    def __init__(self, text: str) -> None:
        prefix, suffix = text.split("‸")
        self.document = Document.from_text(
            prefix + suffix, uri=URI, language_id="python", version=1, encoding=PositionEncoding.UTF16
        )
        self.rows: list = []
        self.rejected: list[str] = []
        self.shown = ShownItems(
            record=self.rows.append, on_rejected=lambda _, text: self.rejected.append(text),
            on_accepted=lambda *_: None, document=lambda _: self.document, client=lambda: "test",
        )  # fmt: skip
        self.snapshot = Snapshot(
            uri=URI, version=1, language_id="python", path="a.py", root=None, comment="#", prefix=prefix, suffix=suffix
        )
        self.line, self.index = prefix.count("\n"), len(prefix) - prefix.rfind("\n") - 1

    def offer(self, *texts: str) -> list[str]:
        ranked = [Ranked(suggestion=Suggestion(text=text), confidence=0.5) for text in texts]
        return self.shown.offer(self.snapshot, self.line, self.index, ranked)

    def put_in(self, text: str, line: int | None = None, index: int | None = None) -> None:
        place = Position(line=self.line if line is None else line, column=self.index if index is None else index)
        edit = Edit(start=place, end=place, text=text)
        self.document = self.document.edited([edit], version=self.document.version + 1)
        self.shown.edited(self.document, [edit])
        if line is None:
            self.index += len(text)

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        return [(row.outcome, row.taken) for row in self.rows if isinstance(row, SuggestionRow)]


@pytest.fixture
def patient(monkeypatch):
    """Count every suggestion as read at once."""
    monkeypatch.setattr(shown_items, "VISIBLE_SECONDS", 0.0)


async def test_a_text_put_in_at_once_is_accepted():
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("foo(bar)")
    assert bench.outcomes == [("accepted", 8)]
    bench.shown.close()


async def test_a_text_typed_to_its_end_is_typed():
    bench = Bench("x = ‸\n")
    bench.offer("foo")
    for character in "foo":
        bench.put_in(character)
    assert bench.outcomes == [("typed", 3)]
    bench.shown.close()


async def test_words_of_a_text_are_accepted_in_part(patient):
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("foo")
    bench.put_in("[")
    assert bench.outcomes == [("partial", 3)]
    bench.shown.close()


async def test_a_text_that_was_read_and_typed_over_is_rejected(patient):
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("1")
    assert bench.outcomes == [("rejected", 0)]
    assert bench.rejected == ["foo(bar)"]


async def test_a_text_that_nobody_could_read_is_not_rejected():
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("1")
    assert bench.outcomes == [("ignored", 0)]
    assert bench.rejected == []


async def test_what_is_left_of_a_text_on_the_screen_keeps_its_name():
    bench = Bench("x = ‸\n")
    first = bench.offer("foo(bar)")
    bench.put_in("f")
    assert bench.offer("oo(bar)") == first
    bench.put_in("oo(bar)")
    assert bench.outcomes == [("accepted", 8)]
    bench.shown.close()


async def test_another_text_gets_another_name():
    bench = Bench("x = ‸\n")
    first = bench.offer("foo(bar)")
    assert bench.offer("other") != first


async def test_the_chosen_one_of_several_is_the_one_accepted():
    bench = Bench("x = ‸\n")
    _, second = bench.offer("foo", "other")
    bench.put_in("other")
    assert [row.id for row in bench.rows] == [second]
    bench.shown.close()


async def test_an_edit_above_moves_the_place_and_ends_nothing():
    bench = Bench("import a\nx = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("import b\n", line=0, index=0)
    bench.put_in("foo(bar)", line=2, index=4)
    assert bench.outcomes == [("accepted", 8)]
    bench.shown.close()


async def test_a_clients_word_counts_once():
    bench = Bench("x = ‸\n")
    [item] = bench.offer("foo(bar)")
    bench.put_in("foo(bar)")
    assert bench.shown.accepted(item) == "foo(bar)"
    assert bench.outcomes == [("accepted", 8)]
    bench.shown.close()


async def test_a_dismissal_is_a_rejection_however_quick():
    bench = Bench("x = ‸\n")
    [item] = bench.offer("foo(bar)")
    bench.shown.dismissed(item)
    bench.shown.dismissed(item)
    assert bench.rejected == ["foo(bar)"]


async def test_names_that_nobody_knows_do_nothing():
    bench = Bench("x = ‸\n")
    bench.shown.dismissed("no")
    bench.shown.shown("no")
    bench.shown.partially_accepted("no", 3)
    assert bench.shown.accepted("no") == ""
    assert bench.rows == []


async def test_an_accepted_text_ends_where_the_next_request_may_stand():
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("foo(bar)")
    assert bench.shown.follows_acceptance(URI, 2, 0, 12)
    assert not bench.shown.follows_acceptance(URI, 2, 0, 11)
    assert not bench.shown.follows_acceptance(URI, 3, 0, 12)
    bench.shown.close()


async def test_what_is_left_of_an_accepted_text_is_counted_later(monkeypatch):
    monkeypatch.setattr(shown_items, "KEPT_AFTER_SECONDS", (0.02, 0.04))
    bench = Bench("x = ‸\n")
    bench.offer("foo(bar)")
    bench.put_in("foo(bar)")
    await asyncio.sleep(0.3)
    assert [row.characters for row in bench.rows if isinstance(row, KeptRow)] == [8, 8]
    bench.shown.close()


def request_row(**changes) -> RequestRow:
    values = {"at": 1e10, "language": "python", "client": "c", "source": "engine", "reason": "engine", "total_ms": 5.0}
    return RequestRow(**(values | changes))


def suggestion_row(**changes) -> SuggestionRow:
    values = {
        "id": "a", "at": 1e10, "language": "python", "client": "c", "outcome": "accepted", "characters": 8, "lines": 1,
        "taken": 8, "visible_ms": 900.0, "confidence": 0.5,
    }  # fmt: skip
    return SuggestionRow(**(values | changes))


def test_the_store_gives_back_what_it_was_given(tmp_path):
    path = stats_store.path_in(tmp_path)
    stats_store.write(path, [request_row(prefill_ms=2.0), suggestion_row(), KeptRow(id="a", after=30, characters=5)])
    [request] = stats_store.read(path, "requests", since=0)
    [suggestion] = stats_store.read(path, "suggestions", since=0)
    assert (request["prefill_ms"], request["decode_ms"]) == (2.0, None)
    assert (suggestion["kept_30"], suggestion["kept_15"]) == (5, None)
    assert path.stat().st_mode & 0o077 == 0


def test_a_store_that_was_deleted_is_made_anew(tmp_path):
    path = stats_store.path_in(tmp_path)
    stats_store.write(path, [request_row()])
    for file in tmp_path.iterdir():
        file.unlink()
    stats_store.write(path, [request_row()])
    assert len(stats_store.read(path, "requests", since=0)) == 1


def test_a_store_that_is_no_database_is_replaced(tmp_path):
    path = stats_store.path_in(tmp_path)
    path.write_bytes(b"nonsense" * 200)
    stats_store.write(path, [request_row()])
    assert stats_store.read(path, "requests", since=0) == []
    stats_store.write(path, [request_row()])
    assert len(stats_store.read(path, "requests", since=0)) == 1


def test_no_store_is_no_statistics(tmp_path):
    assert stats_store.read(stats_store.path_in(tmp_path), "requests", since=0) == []
