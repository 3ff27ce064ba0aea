import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.positions import PositionEncoding, column_of_index, index_of_column

ENCODINGS = list(PositionEncoding)
CODECS = {
    PositionEncoding.UTF8: ("utf-8", 1),
    PositionEncoding.UTF16: ("utf-16-le", 2),
    PositionEncoding.UTF32: ("utf-32-le", 4),
}
LINES = st.text(st.sampled_from("aé€😀\t\x0c\u2028 ") | st.characters(exclude_categories=["Cs"]), max_size=30)


def column_by_encoding(line: str, index: int, encoding: PositionEncoding) -> int:
    codec, unit = CODECS[encoding]
    return len(line[:index].encode(codec)) // unit


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(line=LINES, data=st.data())
def test_a_column_counts_the_units_that_an_encoder_writes(line, data, encoding):
    index = data.draw(st.integers(0, len(line)))
    assert column_of_index(line, index, encoding) == column_by_encoding(line, index, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(line=LINES, data=st.data())
def test_a_column_and_an_index_are_each_others_inverse(line, data, encoding):
    index = data.draw(st.integers(0, len(line)))
    assert index_of_column(line, column_of_index(line, index, encoding), encoding) == index


@pytest.mark.parametrize(
    ("line", "column", "encoding", "index"),
    [
        ("a😀b", 2, PositionEncoding.UTF16, 1),
        ("a😀b", 4, PositionEncoding.UTF8, 1),
        ("aéb", 2, PositionEncoding.UTF8, 1),
        ("abc", 7, PositionEncoding.UTF16, 3),
        ("a😀", 99, PositionEncoding.UTF16, 2),
        ("abc", -1, PositionEncoding.UTF8, 0),
        ("", 3, PositionEncoding.UTF32, 0),
        ("a\ud800b", 4, PositionEncoding.UTF8, 2),
        ("a\ud800b", 2, PositionEncoding.UTF16, 2),
    ],
)
def test_a_column_inside_or_beyond_a_character_is_clamped(line, column, encoding, index):
    assert index_of_column(line, column, encoding) == index
