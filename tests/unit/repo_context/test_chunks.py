import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from repo_context import syntax
from repo_context.chunks import MAX_CHUNK_LINES, cut_lines
from repo_context.languages import language_named

LINES = st.lists(
    st.sampled_from(["", "  ", "x = 1", "def f(a):", "    return a", "class A:", "    (", "'''", ")", "text"]),
    max_size=80,
)
PYTHON = language_named("python").grammar


def check(ranges, lines):
    """Chunks are short, in order, do not overlap, begin and end with text, and leave out blank lines only."""
    assert all(0 < end - start <= MAX_CHUNK_LINES for start, end in ranges)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ranges))
    assert all(lines[start].strip() and lines[end - 1].strip() for start, end in ranges)
    covered = {row for start, end in ranges for row in range(start, end)}
    assert {row for row, line in enumerate(lines) if line.strip()} <= covered


@given(LINES)
def test_plain_text_is_covered_by_short_chunks(lines):
    check(cut_lines(lines), lines)


@settings(deadline=None)
@given(LINES)
def test_parsed_text_is_covered_by_short_chunks(lines):
    source = "\n".join(lines)
    check(list(syntax.parse(source, PYTHON).chunks), source.split("\n"))


def test_a_function_that_fits_stays_whole_and_one_that_does_not_is_opened():
    short = ["def a():", *["    x = 1"] * 9]
    long = ["def b():", *["    y = 2"] * 20]
    source = "\n".join([*short, "", *long])
    assert syntax.parse(source, PYTHON).chunks == ((0, 10), (11, 23), (23, 32))


def test_plain_text_is_cut_at_paragraphs():
    lines = [*["one"] * 8, "", *["two"] * 8]
    assert cut_lines(lines) == [(0, 8), (9, 17)]
