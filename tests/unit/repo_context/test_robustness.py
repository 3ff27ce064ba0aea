"""Texts that no one would write: parsing them may find nothing, but ends and does not crash."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_context import syntax
from repo_context.errors import ParseAbandonedError
from repo_context.file_record import SkipReason, decode, reject_text
from repo_context.languages import PARSED_LANGUAGES
from tests.support.import_samples import graph_of, samples

SAMPLES = {sample.language: sample for sample in samples()}
EXTENSION = {"python": "py", "javascript": "js", "typescript": "ts", "tsx": "tsx", "rust": "rs", "kotlin": "kt"}


def parse(source, language):
    try:
        return syntax.parse(source, language.grammar)
    except ParseAbandonedError:
        return None


def by_name(language):
    return language.name


@pytest.mark.parametrize("language", PARSED_LANGUAGES, ids=by_name)
@settings(max_examples=15, deadline=None)
@given(noise=st.binary(max_size=2_000))
def test_random_bytes_parse(language, noise):
    parse(noise.decode("utf-8", "replace"), language)


@pytest.mark.parametrize("language", [item for item in PARSED_LANGUAGES if item.name in SAMPLES], ids=by_name)
def test_code_with_pieces_cut_out_and_doubled_parses(language):
    chance = random.Random(7)
    for text in SAMPLES[language.name].files.values():
        for _ in range(4):
            start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
            parse(text[:start] + text[end:] + text[start:end] * 2, language)


@pytest.mark.parametrize("language", PARSED_LANGUAGES, ids=by_name)
@pytest.mark.parametrize("opening", ["(", "{", "[", "a::{", "if (", "<div>", "-> {"])
def test_deep_nesting_parses(language, opening):
    parse(opening * 3_000, language)
    parse(f"{opening}\n" * 2_000, language)


def test_a_line_of_fifty_megabytes_is_never_parsed():
    line = b"x = " + b"1" * 50_000_000
    assert decode(line) is SkipReason.TOO_LARGE
    assert reject_text("x" * 50_000_000) is SkipReason.TOO_LARGE
    assert reject_text("x" * 900_000) is SkipReason.LONG_LINES


@pytest.mark.parametrize(
    ("extension", "statement"),
    [
        ("py", "from m{} import *"),
        ("ts", "export * from './m{}'"),
        ("js", "const x = require('./m{}')"),
        ("rb", "require_relative 'm{}'"),
        ("lua", "require('m{}')"),
        ("sh", "source ./m{}.sh"),
        ("c", '#include "m{}.c"'),
    ],
)
def test_imports_in_circles_are_edges(extension, statement):
    count = 60
    files = {f"m{number}.{extension}": statement.format((number + 1) % count) for number in range(count)}
    assert all(len(found) == 1 for found in graph_of(files).depends_on().values())
