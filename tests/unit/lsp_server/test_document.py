import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp_server.document import Document, Edit, Position, split_lines
from lsp_server.positions import PositionEncoding

ALPHABET = [
    "a",
    "b",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "é",
    "€",
    "😀",
    "\ud800",
]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=25).map("".join)
POSITIONS = st.builds(lambda line, column: Position(line=line, column=column), st.integers(0, 12), st.integers(0, 12))
CODEC = {
    PositionEncoding.UTF8: ("utf-8", 1),
    PositionEncoding.UTF16: ("utf-16-le", 2),
    PositionEncoding.UTF32: ("utf-32-le", 4),
}


def document(text: str, encoding: PositionEncoding = PositionEncoding.UTF16) -> Document:
    return Document.from_text(text, uri="file:///a.py", language_id="python", version=1, encoding=encoding)


def offset_by_scanning(text: str, position: Position, encoding: PositionEncoding) -> int:
    """The slow reference: walk the whole text, then encode ever longer pieces of the line."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    if position.line >= len(starts):
        return len(text)
    start = starts[position.line]
    content = re.match(r"[^\r\n]*", text[start:])[0]
    codec, unit = CODEC[encoding]
    fitting = [
        n for n in range(len(content) + 1) if len(content[:n].encode(codec, "surrogatepass")) // unit <= position.column
    ]
    return start + fitting[-1]


def edited_by_scanning(text: str, edit: Edit, encoding: PositionEncoding) -> str:
    if edit.start is None:
        return edit.text
    first, last = sorted(offset_by_scanning(text, place, encoding) for place in (edit.start, edit.end))
    return text[:first] + edit.text + text[last:]


@pytest.mark.parametrize("encoding", list(PositionEncoding))
@settings(max_examples=300)
@given(text=TEXTS, edits=st.lists(st.tuples(POSITIONS, POSITIONS, TEXTS), max_size=6))
def test_edits_give_the_text_that_a_naive_scan_gives(text, edits, encoding):
    mirror, reference = document(text, encoding), text
    for version, (start, end, inserted) in enumerate(edits, start=2):
        edit = Edit(start=start, end=end, text=inserted)
        mirror = mirror.edited([edit], version=version)
        reference = edited_by_scanning(reference, edit, encoding)
        assert mirror.text == reference
        assert list(mirror.lines) == split_lines(reference)


def test_a_thousand_random_edits_keep_the_mirror_equal_to_the_text():
    dice = random.Random(7)
    encoding = PositionEncoding.UTF16
    mirror, reference = document("", encoding), ""
    for version in range(1_000):
        lines = len(split_lines(reference))
        start = Position(line=dice.randrange(lines + 1), column=dice.randrange(12))
        end = Position(line=start.line + dice.choice((0, 0, 0, 1, 3)), column=dice.randrange(12))
        edit = Edit(start=start, end=end, text="".join(dice.choices(ALPHABET, k=dice.randrange(9))))
        mirror = mirror.edited([edit], version=version)
        reference = edited_by_scanning(reference, edit, encoding)
        assert mirror.text == reference, f"edit {version}: {edit}"
    assert mirror.version == 999


@given(text=TEXTS)
def test_every_line_but_the_last_ends_with_exactly_one_line_end(text):
    *ended, last = split_lines(text)
    assert "".join([*ended, last]) == text
    assert all(re.fullmatch(r"[^\r\n]*(\r\n|\r|\n)", line) for line in ended)
    assert not re.search(r"[\r\n]", last)


@given(text=TEXTS, position=POSITIONS)
def test_splitting_at_a_position_loses_nothing(text, position):
    before, after = document(text).split_at(position)
    assert before + after == text
    assert len(before) == offset_by_scanning(text, position, PositionEncoding.UTF16)


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_the_protocols_line_ends_break_lines(odd):
    mirror = document(f"a = 1\n{odd}\nb = 2\n")
    edit = Edit(start=Position(line=2, column=0), end=Position(line=2, column=1), text="B")
    assert mirror.edited([edit], version=2).text == f"a = 1\n{odd}\nB = 2\n"


@pytest.mark.parametrize(
    ("text", "position", "before"),
    [
        ("ab", Position(line=0, column=9), "ab"),
        ("ab\n", Position(line=0, column=9), "ab"),
        ("ab\r\n", Position(line=0, column=9), "ab"),
        ("ab\ncd", Position(line=1, column=2), "ab\ncd"),
        ("ab\ncd", Position(line=7, column=0), "ab\ncd"),
        ("ab\n", Position(line=1, column=0), "ab\n"),
        ("", Position(line=0, column=0), ""),
        ("", Position(line=3, column=3), ""),
    ],
)
def test_a_position_beyond_the_text_means_the_nearest_place(text, position, before):
    assert document(text).split_at(position)[0] == before


def test_an_edit_leaves_the_older_version_as_it_was():
    older = document("a\nb\n")
    newer = older.edited([Edit(start=None, end=None, text="c")], version=2)
    assert (older.text, older.version) == ("a\nb\n", 1)
    assert (newer.text, newer.version) == ("c", 2)


def test_reversed_ends_of_a_range_mean_the_same_range():
    edit = Edit(start=Position(line=0, column=3), end=Position(line=0, column=1), text="")
    assert document("abcd").edited([edit], version=2).text == "ad"


def test_moving_right_stops_at_the_end_of_the_line():
    mirror = document("x😀)\n")
    assert mirror.moved(Position(line=0, column=1), 1) == Position(line=0, column=3)
    assert mirror.moved(Position(line=0, column=3), 5) == Position(line=0, column=4)
