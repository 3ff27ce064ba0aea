from hypothesis import given
from hypothesis import strategies as st

from repo_context.text_lines import TextLines

TEXTS = st.text(st.sampled_from("ab\nä\ud800\x0c\u2028"), max_size=40)


@given(TEXTS, st.integers(-8, 8) | st.none(), st.integers(-8, 8) | st.none())
def test_lines_are_those_that_split_gives(text, start, stop):
    expected, lines = text.split("\n"), TextLines(text)
    assert len(lines) == len(expected)
    assert list(lines) == expected
    assert lines[start:stop] == expected[start:stop]
    assert lines[::-1] == expected[::-1]
