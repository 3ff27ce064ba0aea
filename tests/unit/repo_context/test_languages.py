import doctest
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from repo_context import languages
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
    query_source,
)
from repo_context.repository import Repository

QUERIES = Path(languages.__file__).parent / "queries"


@pytest.mark.parametrize("language", PARSED_LANGUAGES, ids=lambda language: language.name)
def test_every_parsed_language_loads_its_grammar_and_its_query_fits(language):
    assert language.grammar is not None
    assert load_query(language.grammar).structure.pattern_count > 0


def test_a_query_holds_all_that_the_ones_it_inherits_hold():
    sources = {language.name: query_source(language.grammar) for language in PARSED_LANGUAGES if language.grammar}
    for line in sources["typescript"].splitlines():
        assert line.startswith(";") or line in sources["tsx"]
    assert "(generator_function_declaration" in sources["javascript"]
    assert "(preproc_include" in sources["cpp"]


@pytest.mark.parametrize("names", [("ecma", "javascript", "typescript"), ("c_family", "c", "cpp")])
def test_languages_of_one_family_repeat_no_pattern(names):
    patterns = [one for name in names for one in re.split(r"\n(?=[(;])", (QUERIES / f"{name}.scm").read_text())]
    assert [one for one, count in Counter(filter(is_pattern, patterns)).items() if count > 1] == []


def is_pattern(text):
    return text.startswith("(")


def test_an_installation_misses_no_grammar():
    assert missing_grammars() == ()


def test_a_missing_grammar_is_an_error_that_says_what_to_install():
    with pytest.raises(GrammarMissingError, match="pip install tree-sitter-nosuch"):
        load_grammar(Grammar(module="tree_sitter_nosuch", query="nosuch"))


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
        ("study.ipynb", "jupyter"),
        ("a.kts", "kotlin"),
        ("a.swift", "swift"),
        ("build.sbt", "scala"),
        ("init.lua", "lua"),
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


@pytest.mark.parametrize(
    "module",
    ["dependency_order", "file_record", "import_graph", "languages", "notebook", "resolvers", "syntax", "terms"],
)
def test_examples_in_docstrings_hold(module):
    results = doctest.testmod(importlib.import_module(f"repo_context.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


OFFLINE = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise OSError("the network is cut")
sys.addaudithook(refuse)
from repo_context.languages import PARSED_LANGUAGES, load_query, missing_grammars
assert missing_grammars() == ()
print(sum(load_query(language.grammar).structure.pattern_count for language in PARSED_LANGUAGES))
"""


def test_every_grammar_loads_with_the_network_cut(tmp_path):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-P", "-c", OFFLINE]
    environment = {**os.environ, "PYTHONPATH": str(root), "HOME": str(tmp_path)}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert int(answer.stdout) > 250


def test_a_language_whose_grammar_is_missing_is_searched_as_text_and_reported(monkeypatch, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "tree.lua").write_text("function grow() end\n")
    monkeypatch.setitem(sys.modules, "tree_sitter_lua", None)
    load_grammar.cache_clear()
    load_query.cache_clear()
    try:
        with Repository.open(root, index_folder=tmp_path / "index") as repository:
            assert [file.path for file in repository.files()] == ["tree.lua"]
            (reason,) = repository.summary().skipped
            assert "pip install tree-sitter-lua" in reason
            assert any("tree-sitter-lua" in message for message in missing_grammars())
    finally:
        load_grammar.cache_clear()
        load_query.cache_clear()
