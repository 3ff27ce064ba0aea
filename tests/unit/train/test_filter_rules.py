"""DeepSeek-Coder's rules at their published bounds (section 2.1)."""

from collections import Counter

import pytest

from train.data.document import SourceDocument
from train.data.filter_rules import (
    alphabetic_share,
    apply_rules,
    average_line_length,
    empty,
    maximum_line_length,
)


def _document(text: str) -> SourceDocument:
    return SourceDocument(repository="r", path="a.py", language="python", comment="#", text=text)


BOUNDS = {
    "an average of exactly 100 stays": (average_line_length, "x" * 100 + "\n" + "y" * 100, True),
    "an average above 100 goes": (average_line_length, "x" * 100 + "\n" + "y" * 101, False),
    "a line of exactly 1000 stays": (maximum_line_length, "x" * 1000, True),
    "a line of 1001 goes": (maximum_line_length, "ok\n" + "x" * 1001, False),
    "exactly 25 % letters stays": (alphabetic_share, "a123", True),
    "fewer than 25 % letters goes": (alphabetic_share, "a1234", False),
    "letters of any script count": (alphabetic_share, "変数 = 1 ", True),
    "nothing but white space goes": (empty, " \n\t\n", False),
    "a single letter stays": (empty, "\nx", True),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_bounds_are_inclusive_as_published(case: str) -> None:
    rule, text, kept = BOUNDS[case]
    assert (rule(_document(text)) is None) == kept


def test_every_drop_is_counted_once_with_its_first_reason() -> None:
    documents = [_document(text) for text in ("def f(): pass\n", " ", "x" * 1001, "1234567890")]
    dropped: Counter[str] = Counter()
    assert list(apply_rules(documents, dropped)) == documents[:1]
    assert dropped == {
        "empty": 1,
        "average line longer than 100 characters": 1,
        "fewer than 25 % alphabetic characters": 1,
    }
