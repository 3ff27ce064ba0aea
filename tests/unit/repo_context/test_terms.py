import pytest

from repo_context.terms import terms_of, terms_of_word


@pytest.mark.parametrize(
    ("word", "terms"),
    [
        ("path", ("path",)),
        ("readFile", ("readfile", "read", "file")),
        ("read_file", ("read_file", "read", "file")),
        ("HTTPServer", ("httpserver", "http", "server")),
        ("__init__", ("__init__", "init")),
        ("_x", ("_x",)),
        ("x1", ("x1",)),
        ("größe_wert", ("größe_wert", "gr", "öß", "wert")),
    ],
)
def test_a_word_counts_as_itself_and_its_parts(word, terms):
    assert terms_of_word(word) == terms


def test_numbers_and_marks_are_no_terms_and_repetitions_count():
    assert terms_of("a + 12 * a - 'b'") == ["a", "a", "b"]
