"""`midfill train tokenizer`: what it writes is the recipe's tokenizer, and what it compares was not learned from."""

from pathlib import Path

import pytest

from engine.tokenizer import Tokenizer
from train.cli import main
from train.data.document import SourceDocument
from train.errors import CorpusError
from train.tokenizer_verb import compare, divide

ROOT = Path(__file__).parents[3]


def _documents(count: int) -> list[SourceDocument]:
    return [
        SourceDocument(repository="shop", path=f"{number}.py", language="python", comment="#", text=f"n = {number}\n")
        for number in range(count)
    ]


def test_a_text_is_either_learned_from_or_measured_on() -> None:
    documents = _documents(1000)
    learned, held_out = divide(documents, 10**9)
    assert sorted([*learned, *held_out]) == sorted(document.text for document in documents)
    assert 50 < len(held_out) < 200
    assert set(divide(documents[::-1], 10**9)[1]) == set(held_out)


def test_reading_stops_when_there_is_enough_to_learn_from() -> None:
    learned, _ = divide(_documents(1000), 500)
    assert 500 <= sum(map(len, learned)) < 520


def test_too_little_text_is_an_error_that_says_so() -> None:
    with pytest.raises(CorpusError, match="give more"):
        divide(_documents(1), 10**9)


def test_splits_that_let_tokens_span_more_are_denser() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "repo_context").glob("*.py"))]
    kept: list[str] = []
    table = compare(texts[::2], texts[1::2], ("deepseek-coder", "gpt-2"), 800, kept.append)
    assert 1 < table["deepseek-coder"] < table["gpt-2"]
    assert Tokenizer(kept[0]).vocab_size > 800


def test_the_verb_writes_a_tokenizer_and_prints_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "tokenizer.json"
    options = ["--vocab-size", "600", "--compare", "starcoder", "--language", "python"]
    assert main(["tokenizer", str(ROOT / "repo_context"), "--output", str(output), *options]) == 0
    assert Tokenizer.load(output.parent).vocab_size > 600
    said = capsys.readouterr().out
    assert said.count("deepseek-coder") == said.count("starcoder") == 1
    assert said.strip().endswith(str(output))
