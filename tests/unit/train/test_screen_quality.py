"""Screening: what does not parse goes, what people wrote stays."""

import sys
from pathlib import Path

import pytest

from repo_context.languages import language_of
from train.data.document import SourceDocument
from train.data.screen_quality import (
    RULES,
    compiles,
    long_functions,
    obfuscated_names,
    quality_rule,
    repeated_lines,
    syntax_errors,
    tables_of_numbers,
)
from train.errors import CorpusError


def _document(text: str, path: str = "a.py") -> SourceDocument:
    language = language_of(path)
    assert language is not None
    return SourceDocument(repository="r", path=path, language=language.name, comment="#", text=text)


CASES = {
    "broken Go": (syntax_errors, "package a\nfunc (((( {\n} ) )\n", "a.go", False),
    "good Go": (syntax_errors, "package a\n\nfunc f(x int) int { return x }\n", "a.go", True),
    "good JavaScript": (syntax_errors, "const f = (x) => x * 2;\n", "a.js", True),
    "one error in much good source": (syntax_errors, "int f(void) { return 1; }\n" * 60 + "MACRO(a b)\n", "a.c", True),
    "a language without a grammar": (syntax_errors, "((((", "a.sql", True),
    "broken Python": (compiles, "def f(:\n", "a.py", False),
    "Python 2": (compiles, "print 'x'\n", "a.py", False),
    "return outside a function": (compiles, "return 1\n", "a.py", False),
    "a null byte": (compiles, "x = '\0'\n", "a.py", False),
    "a warning is no error": (compiles, "x = '\\d'\nassert (x, 1)\n", "a.py", True),
    "good Python": (compiles, "def f(x):\n    return x\n", "a.py", True),
    "500 lines of function": (long_functions, "def f():\n" + "    x = 1\n" * 498 + "y = 1\n" * 9, "a.py", True),
    "501 lines of function": (long_functions, "def f():\n" + "    x = 1\n" * 500 + "y = 1\n" * 9, "a.py", False),
    "501 lines at the end": (long_functions, "def f():\n" + "    x = 1\n" * 500, "a.py", False),
    "a long method": (long_functions, "class A:\n  def f():\n" + "    x = 1\n" * 500 + "  def g(): 0\n", "a.py", False),
    "many short functions": (long_functions, "def f():\n    return 1\n" * 400, "a.py", True),
    "a table of numbers": (tables_of_numbers, "x = [" + "1, 0x2F, " * 99 + "]\n", "a.py", False),
    "a formula": (tables_of_numbers, "y = a * 2 + b * 3\n", "a.py", True),
    "the same lines again": (repeated_lines, "assert value\n" * 40 + "call(other)\n", "a.py", False),
    "different lines": (repeated_lines, "".join(f"value_{i} = {i}\n" for i in range(40)), "a.py", True),
    "obfuscated": (obfuscated_names, " ".join(f"{a}{b}" for a in "abcdefgh" for b in ["", "x"]) + " " + " ".join(
        "ijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"), "a.js", False),
    "short, but words": (obfuscated_names, " ".join(f"name{i}" for i in range(50)), "a.js", True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rules_at_their_bounds(case: str) -> None:
    rule, text, path, kept = CASES[case]
    assert (rule(_document(text, path)) is None) == kept


def test_our_own_source_is_readable() -> None:
    root = Path(__file__).parents[3]
    for path in sorted((root / "train").rglob("*.py")):
        document = _document(path.read_text(encoding="utf-8"))
        assert [rule(document) for rule in RULES] == [None] * len(RULES), path


def test_a_quality_model_is_any_function_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_quality_model.py").write_text("def score(document):\n    return len(document.text)\n")
    monkeypatch.syspath_prepend(tmp_path)
    rule = quality_rule("my_quality_model:score", 5)
    assert rule(_document("1234")) == "below the quality model's threshold"
    assert rule(_document("12345")) is None
    sys.modules.pop("my_quality_model")


@pytest.mark.parametrize("hook", ["nowhere_to_be_found:score", "json:no_such", "nonsense"])
def test_a_quality_model_that_is_not_there_is_named(hook: str) -> None:
    with pytest.raises(CorpusError, match="module:function"):
        quality_rule(hook, 0.5)
