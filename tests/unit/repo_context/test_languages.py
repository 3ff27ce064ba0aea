import doctest
import importlib

import pytest

from repo_context.errors import GrammarMissingError
from repo_context.languages import (
    PARSED_LANGUAGES,
    TEXT_LANGUAGES,
    Grammar,
    comment_marker,
    language_of,
    load_grammar,
    load_query,
    missing_grammars,
)


@pytest.mark.parametrize("language", PARSED_LANGUAGES, ids=lambda language: language.name)
def test_every_parsed_language_loads_its_grammar_and_its_query_fits(language):
    assert language.grammar is not None
    assert load_query(language.grammar).pattern_count > 0


def test_an_installation_misses_no_grammar():
    assert missing_grammars() == ()


def test_a_missing_grammar_is_an_error_that_says_what_to_install():
    with pytest.raises(GrammarMissingError, match="pip install tree-sitter-nosuch"):
        load_grammar(Grammar(module="tree_sitter_nosuch", queries=("nosuch",)))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.py", "python"),
        ("x.PYI", "python"),
        ("a.jsx", "javascript"),
        ("a.mjs", "javascript"),
        ("a.ts", "typescript"),
        ("a.d.ts", "typescript"),
        ("a.tsx", "tsx"),
        ("A.java", "java"),
        ("a.go", "go"),
        ("a.rs", "rust"),
        ("a.c", "c"),
        ("a.h", "cpp"),
        ("a.cc", "cpp"),
        ("A.cs", "csharp"),
        ("Rakefile", "ruby"),
        ("a.php", "php"),
        ("run.sh", "bash"),
        ("Dockerfile", "dockerfile"),
        ("CMakeLists.txt", "cmake"),
        ("notes.md", "markdown"),
    ],
)
def test_a_language_is_known_by_file_name_or_extension(path, name):
    language = language_of(path)
    assert language is not None
    assert language.name == name


@pytest.mark.parametrize("path", ["photo.png", "noextension", ".py", "a.", ""])
def test_other_names_have_no_language_and_the_default_comment(path):
    assert language_of(path) is None
    assert comment_marker(path) == "#"


def test_names_of_languages_are_unique():
    names = [language.name for language in PARSED_LANGUAGES + TEXT_LANGUAGES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", ["dependency_order", "file_record", "import_graph", "languages", "syntax", "terms"])
def test_examples_in_docstrings_hold(module):
    results = doctest.testmod(importlib.import_module(f"repo_context.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
