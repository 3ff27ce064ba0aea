import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_context import kept_trees, syntax, text_difference
from repo_context.kept_trees import KeptTrees
from repo_context.languages import language_named

GOLDEN = Path(__file__).parents[2] / "golden" / "repo_context" / "syntax.toml"
SOURCES = {case["language"]: case["source"] for case in tomllib.loads(GOLDEN.read_text(encoding="utf-8"))["case"]}
PYTHON = language_named("python").grammar

EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.sampled_from(["x", "\n", "  ", "fresh_name", "(", ")", "{ }", '"', "'", "/*", "# é ü\n", "𝔘", "if", ";"]),
    ),
    max_size=6,
)


def parsed(trees, path, source, grammar):
    return trees.parse(path, source, grammar, source.split("\n"))


@pytest.mark.parametrize("language", SOURCES)
@settings(max_examples=25, deadline=None)
@given(edits=EDITS)
def test_a_file_that_is_edited_reads_as_if_it_had_just_been_opened(language, edits):
    grammar = language_named(language).grammar
    source = SOURCES[language] * 3
    trees = KeptTrees()
    assert parsed(trees, "a", source, grammar) == syntax.parse(source, grammar)
    for place, removed, added in edits:
        start = int(place * len(source))
        source = source[:start] + added + source[start + removed :]
        assert parsed(trees, "a", source, grammar) == syntax.parse(source, grammar)


@pytest.mark.parametrize("language", SOURCES)
def test_renaming_and_undoing_reads_as_if_it_had_just_been_opened(language):
    grammar = language_named(language).grammar
    source = SOURCES[language]
    trees = KeptTrees()
    # Character by character, there and back, at places all over the file; most of these texts are without errors.
    for place in range(0, len(source), max(len(source) // 20, 1)):
        for text in (source, source[:place] + "a" + source[place:], source[:place] + "ab" + source[place:], source):
            assert parsed(trees, "a", text, grammar) == syntax.parse(text, grammar)


@given(first=st.text("ab\né", max_size=12), second=st.text("ab\né", max_size=12))
def test_an_edit_is_told_by_what_two_texts_begin_and_end_with_in_common(first, second):
    start = text_difference.shared_start(first, second)
    starts = [length for length in range(len(first) + 1) if second.startswith(first[:length])]
    assert start == max(starts)
    most = min(len(first), len(second)) - start
    shared = text_difference.shared_end(first, second, most)
    ends = [length for length in range(most + 1) if first.endswith(second[len(second) - length :])]
    assert shared == max(ends)


def test_only_the_trees_of_the_last_files_are_kept_and_each_of_its_own():
    trees = KeptTrees()
    for number in range(3 * kept_trees.MAX_TREES):
        source = f"def f{number}(): pass\n"
        for text in (source, source + "x = 1\n"):
            assert parsed(trees, f"{number}.py", text, PYTHON) == syntax.parse(text, PYTHON)
    assert len(trees._kept) == kept_trees.MAX_TREES


def test_a_file_that_becomes_one_of_another_language_is_parsed_anew():
    trees = KeptTrees()
    parsed(trees, "a", "class A { int b; }", language_named("java").grammar)
    source = "class A: pass"
    assert parsed(trees, "a", source, PYTHON) == syntax.parse(source, PYTHON)
