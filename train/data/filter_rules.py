"""DeepSeek-Coder's six rules on single files (section 2.1): each says why a file is dropped, or None to keep it.

Bounds are inclusive as published. The paper leaves open whether a line counts its end (here: no), what is alphabetic
(here: `str.isalpha`, letters of any script), and what visible text is (here: what a page shows, runs of white space
counted as one character). It names one exception to the XML rule, XSLT, which is told by the file name.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser

from train.data.document import SourceDocument
from train.data.tally import Tally

STEP = "filter rules"

Rule = Callable[[SourceDocument], str | None]

LONGEST_AVERAGE_LINE = 100
LONGEST_LINE = 1000
SMALLEST_DATA, LARGEST_DATA = 50, 5000
"""Characters of a JSON or YAML file."""
LEAST_VISIBLE = 100
"""Characters that a page must show, and at least a fifth of its source."""


def average_line_length(document: SourceDocument) -> str | None:
    """Rule 1: drop files whose lines are longer than 100 characters on average."""
    ends = document.text.count("\n")
    too_long = len(document.text) - ends > LONGEST_AVERAGE_LINE * (ends + 1)
    return "average line longer than 100 characters" if too_long else None


def maximum_line_length(document: SourceDocument) -> str | None:
    """Rule 2: drop files with a line longer than 1,000 characters."""
    text = document.text
    if len(text) <= LONGEST_LINE:
        return None
    # One step a stretch of 1,000 characters, not one a line: a stretch without a line end lies in a long line.
    start = 0
    while start + LONGEST_LINE < len(text):
        end = text.rfind("\n", start, start + LONGEST_LINE + 1)
        if end < 0:
            return "a line longer than 1,000 characters"
        start = end + 1
    return None


def alphabetic_share(document: SourceDocument) -> str | None:
    """Rule 3: drop files of which fewer than 25 % of the characters are alphabetic."""
    return "fewer than 25 % alphabetic characters" if 4 * _letters(document.text) < len(document.text) else None


def xml_declaration(document: SourceDocument) -> str | None:
    """Rule 4: drop files with `<?xml version=` in their first 100 characters, unless they are XSLT."""
    if "<?xml version=" in document.text[:100] and not document.path.lower().endswith((".xsl", ".xslt")):
        return "XML declaration"
    return None


def visible_html(document: SourceDocument) -> str | None:
    """Rule 5: drop pages that show fewer than 100 characters, or less than 20 % of their source."""
    if document.language != "html":
        return None
    visible = len(visible_text(document.text))
    kept = visible >= LEAST_VISIBLE and 5 * visible >= len(document.text)
    return None if kept else "HTML with less than 20 % or 100 characters of visible text"


def data_size(document: SourceDocument) -> str | None:
    """Rule 6: drop JSON and YAML files of fewer than 50 or more than 5,000 characters."""
    if document.language not in ("json", "yaml") or SMALLEST_DATA <= len(document.text) <= LARGEST_DATA:
        return None
    return "JSON or YAML outside 50 to 5,000 characters"


def empty(document: SourceDocument) -> str | None:
    """Drop files with nothing but white space, which no published rule needs to name."""
    return "empty" if not document.text or document.text.isspace() else None


RULES: tuple[Rule, ...] = (
    empty,
    average_line_length,
    maximum_line_length,
    alphabetic_share,
    xml_declaration,
    visible_html,
    data_size,
)


_GENERATED_NAME = re.compile(
    r"""(?xi) (?: \.min\.(?:js|css) | [._-]bundle\.js | _pb2(?:_grpc)?\.pyi? | \.pb\.(?:go|cc|h) | \.g\.(?:cs|dart)
    | \.designer\.cs | \.generated\.\w+ | _generated\.\w+ | \.freezed\.dart | zz_generated\.\w+ | \.lock\.json )$"""
)
_GENERATED_MARK = re.compile(
    r"""(?xi) @generated\b | \bdo\s+not\s+(?:edit|modify)\b.{0,80}\bgenerated\b | \bcode\s+generated\s+by\b
    | \bauto(?:matically|[- ]?)\s*generated\b(?!\s+by\s+hand) | \bgenerated\b.{0,80}\bdo\s+not\s+(?:edit|modify)\b
    | \bthis\s+(?:file|code)\s+(?:is|was|has\s+been)\s+(?:\w+\s+)?generated\b"""
)
_VENDORED_FOLDER = re.compile(
    r"(?i)(?:^|/)(?:vendor|vendored|_vendor|third[-_]?party|3rd[-_]?party|bower_components|node_modules|godeps|"
    r"external[-_]?libs|extern)/"
)
_HEAD_LINES = 15


def generated(document: SourceDocument) -> str | None:
    """Drop files that a program wrote, told by their name or by what one of their first 15 lines says."""
    if _GENERATED_NAME.search(document.path):
        return "generated (file name)"
    head = document.text[: 100 * _HEAD_LINES].split("\n", _HEAD_LINES)[:_HEAD_LINES]
    return "generated (says so)" if any(map(_GENERATED_MARK.search, head)) else None


def vendored(document: SourceDocument) -> str | None:
    """Drop copies of other projects, told by their folder."""
    return "vendored" if _VENDORED_FOLDER.search(document.path) else None


def apply_rules(
    documents: Iterable[SourceDocument], tally: Tally, rules: Iterable[Rule] = RULES, step: str = STEP
) -> Iterator[SourceDocument]:
    """Yield the documents every rule keeps; count the others by their first reason."""
    rules = tuple(rules)
    for document in documents:
        for rule in rules:
            reason = rule(document)
            if reason is not None:
                tally.drop(step, reason, document)
                break
        else:
            tally.keep(step, document)
            yield document


_ASCII_REST = bytes(byte for byte in range(128) if not chr(byte).isalpha())
_ASCII = re.compile(r"[\x00-\x7f]+")


def _letters(text: str) -> int:
    """Count alphabetic characters: ASCII in one pass over the bytes, the others one by one."""
    if text.isascii():
        return len(text.encode().translate(None, _ASCII_REST))
    others = _ASCII.sub("", text)
    ascii_bytes = text.encode("ascii", "ignore")
    return len(ascii_bytes.translate(None, _ASCII_REST)) + sum(map(str.isalpha, others))


def visible_text(page: str) -> str:
    """Return what a page shows, white space collapsed: no markup, comments, scripts, styles or templates."""
    reader = _VisibleText()
    # The library asserts on a few malformed declarations (`<![x`): what stood before them is what counts.
    with contextlib.suppress(AssertionError):
        reader.feed(page)
        reader.close()
    return " ".join(" ".join(reader.pieces).split())


_HIDDEN = frozenset({"script", "style", "template", "noscript", "head"})
_ENDS_HEAD = frozenset({"body", "div", "p", "main", "header", "section", "h1", "table", "ul"})


class _VisibleText(HTMLParser):
    """Collects text outside hidden elements; an element that is never closed hides no more than its own kind can."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _ENDS_HEAD and self._hidden == ["head"]:
            self._hidden.clear()
        if tag in _HIDDEN:
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)
