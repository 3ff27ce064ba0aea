"""Decontamination: ten words in a row, or all of a short text; a plain search agrees."""

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from train.data.decontaminate import Contamination, TestText, decontamination_rule, read_benchmarks
from train.data.document import SourceDocument
from train.errors import CorpusError

LONG = "def has_close(numbers, threshold): return any two numbers closer to each other than given threshold"
SHORT = "return a + b"
CONTAMINATION = Contamination(
    [
        TestText(benchmark="humaneval", text=LONG),
        TestText(benchmark="mbpp", text=SHORT),
        TestText(benchmark="x", text="a b"),
    ]
)

CASES = {
    "ten words in a row": ("x = 1\n# Numbers, threshold return any two numbers closer to each other\n", "humaneval"),
    "nine words in a row": ("x = 1\n# numbers threshold return any two numbers closer to each\n", None),
    "ten words, one changed in the middle": ("numbers threshold return any three numbers closer to each other", None),
    "a short text, exactly": ("def f(a, b):\n    return a  +\tb\n", "mbpp"),
    "a short text with other marks": ("def f(a, b):\n    return a - b\n", None),
    "a short text in another case": ("Return A + B", None),
    "a text of two words says nothing": ("a b\n", None),
    "the end of the text": ("x\n" * 50 + "return a + b", "mbpp"),
}


@pytest.mark.parametrize("case", CASES)
def test_shared_text_is_found(case: str) -> None:
    text, benchmark = CASES[case]
    assert CONTAMINATION.found_in(text) == benchmark


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9_]+", text.lower())


def test_a_plain_search_finds_the_same() -> None:
    chance = random.Random(4)
    vocabulary = [f"w{i}" for i in range(3)]
    tests = [" ".join(chance.choices(vocabulary, k=chance.randint(1, 14))) for _ in range(12)]
    contamination = Contamination(TestText(benchmark="t", text=text) for text in tests)
    grams = {tuple(words[i : i + 10]) for words in map(_words, tests) for i in range(len(words) - 9)}
    found = 0
    for _ in range(400):
        text = " ".join(chance.choices([*vocabulary, "other", "more"], k=chance.randint(0, 40)))
        words = _words(text)
        long = any(tuple(words[i : i + 10]) in grams for i in range(len(words) - 9))
        # Words of one length and single spaces: a text inside another is so at word bounds.
        short = any(3 <= len(_words(test)) < 10 and test in text for test in tests)
        assert (contamination.found_in(text) is not None) == (long or short)
        found += long or short
    assert 20 < found < 380


def test_benchmarks_are_read_by_their_usual_fields(tmp_path: Path) -> None:
    rows = [{"task_id": "HumanEval/0", "prompt": "p " * 12, "canonical_solution": "s " * 12, "test": "t " * 12}]
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(b"".join(json.dumps(row).encode() for row in rows)))
    (tmp_path / "test.json").write_text(json.dumps({"examples": [{"input": "q " * 12, "target": "a " * 12, "n": 3}]}))
    (tmp_path / "lines.json").write_text('{"question": "y y y y"}\n{"question": "z z z z"}\n')
    (tmp_path / "mine.jsonl").write_text('{"verse": "v v v v"}\n\n{"verse": "w w w w"}\n')
    texts = {(item.benchmark, item.text[:1]) for item in read_benchmarks([str(tmp_path)])}
    assert texts == {
        ("HumanEval", "p"), ("HumanEval", "s"), ("test", "q"), ("test", "a"), ("mine", "v"), ("mine", "w"),
        ("lines", "y"), ("lines", "z"),
    }  # fmt: skip
    named = [item.text[:1] for item in read_benchmarks([f"{tmp_path / 'HumanEval.jsonl.gz'}:test,prompt"])]
    assert sorted(named) == ["p", "t"]


@pytest.mark.parametrize("source", ["missing.jsonl", "bad.jsonl", "HumanEval.jsonl:nothing"])
def test_a_benchmark_without_text_is_an_error(source: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{nonsense")
    (tmp_path / "HumanEval.jsonl").write_text('{"prompt": "x y z"}\n')
    with pytest.raises(CorpusError):
        list(read_benchmarks([str(tmp_path / source)]))


def test_the_rule_names_the_benchmark() -> None:
    rule = decontamination_rule(CONTAMINATION)
    document = SourceDocument(repository="r", path="a.py", language="python", comment="#", text="return a + b")
    assert rule(document) == "holds text of mbpp"
