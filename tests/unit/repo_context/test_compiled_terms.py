import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_context.chunk_terms import TermCounter
from repo_context.compiled_terms import CompiledTermCounter, term_counter
from tests.support.native_library import compiled

WORDS = st.sampled_from(
    [
        "readFile",
        "HTTPServer",
        "__init__",
        "_x",
        "x1",
        "1_a",
        "0xFFu",
        "aB",
        "ABc",
        "A",
        "größe_wert",
        "名前",
        "ß",
        "é9",
        "_",
    ]
)
SEPARATORS = st.sampled_from([" ", "\n", ".", "\0", "", "(", "\ud800", "\x7f", "\xa0"])
PIECES = st.tuples(WORDS | st.text(st.characters(exclude_categories=[]), max_size=8), SEPARATORS)
TEXTS = st.lists(PIECES).map(lambda pieces: "".join(word + separator for word, separator in pieces))
BATCHES = st.lists(st.lists(TEXTS, max_size=3), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with compiled(tmp_path_factory.mktemp("home")) as library:
        yield library


def counted(counter, batches):
    return [[array.tolist() for array in counter.count_chunks(chunks)] for chunks in batches], list(counter.vocabulary)


@given(batches=BATCHES)
def test_compiled_code_counts_and_numbers_as_python_does(library, batches):
    assert counted(CompiledTermCounter(library), batches) == counted(TermCounter({}), batches)


def test_many_words_and_long_ones_are_counted_alike(library):
    source = np.random.default_rng(7)
    letters = np.array(list("abcXYZ_019ä "))
    batches = [["".join(source.choice(letters, 4_000)), "a" * 100_000 + " b" * 3_000] for _ in range(20)]
    assert counted(CompiledTermCounter(library), batches) == counted(TermCounter({}), batches)


def test_where_the_library_was_compiled_it_counts(library):
    assert type(term_counter()) is CompiledTermCounter
