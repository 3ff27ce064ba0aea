"""DeepSeek-Coder's rules on single files (section 2.1): each says why a file is dropped, or None to keep it.

The paper leaves open whether a line counts its end (here: no) and what is alphabetic (here: `str.isalpha`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from train.data.document import SourceDocument

Rule = Callable[[SourceDocument], str | None]


def average_line_length(document: SourceDocument) -> str | None:
    """Drop files whose lines are longer than 100 characters on average."""
    lines = document.text.split("\n")
    too_long = sum(map(len, lines)) > 100 * len(lines)
    return "average line longer than 100 characters" if too_long else None


def maximum_line_length(document: SourceDocument) -> str | None:
    """Drop files with a line longer than 1,000 characters."""
    too_long = any(len(line) > 1000 for line in document.text.split("\n"))
    return "a line longer than 1,000 characters" if too_long else None


def alphabetic_share(document: SourceDocument) -> str | None:
    """Drop files of which fewer than 25 % of the characters are alphabetic."""
    alphabetic = sum(map(str.isalpha, document.text))
    return "fewer than 25 % alphabetic characters" if 4 * alphabetic < len(document.text) else None


def empty(document: SourceDocument) -> str | None:
    """Drop files with nothing but white space."""
    return None if document.text.strip() else "empty"


RULES: tuple[Rule, ...] = (empty, average_line_length, maximum_line_length, alphabetic_share)


def apply_rules(documents: Iterable[SourceDocument], dropped: Counter[str]) -> Iterator[SourceDocument]:
    """Yield the documents every rule keeps; count the others in `dropped` by their first reason."""
    for document in documents:
        reason = next(filter(None, (rule(document) for rule in RULES)), None)
        if reason is None:
            yield document
        else:
            dropped[reason] += 1
