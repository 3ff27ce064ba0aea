"""The tokenizer: the recipe's size, nothing lost, and bulk encoding gives tokenizer.json's own ids."""

import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fim_formats import DEEPSEEK_CODER
from engine.tokenizer import Tokenizer
from train.tokenizer import SPLITS, BulkTokenizer, bytes_per_token, train_tokenizer

ROOT = Path(__file__).parents[3]
SOURCE = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "repo_context").rglob("*.py"))]
DEFINITION = train_tokenizer(SOURCE, vocab_size=2000, sample_bytes=400_000)
PLAIN, BULK = Tokenizer(DEFINITION), BulkTokenizer(DEFINITION)
LETTERS = "ab Zé變数가나ࠀ٣½०1_.,;()=+<>→★　   \u2028\x85\t\r\n\x0b🙂\u0301\u200d"


@given(st.text(alphabet=st.sampled_from(LETTERS), max_size=40))
@settings(max_examples=2000, deadline=None)
def test_bulk_ids_are_those_of_tokenizer_json_on_odd_text(text: str) -> None:
    assert BULK.encode(text) == PLAIN.encode(text)


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_bulk_ids_are_those_of_tokenizer_json_on_any_text(text: str) -> None:
    assert BULK.encode(text) == PLAIN.encode(text)
    assert BULK.decode(BULK.encode(text)) == text


def test_bulk_ids_are_those_of_tokenizer_json_on_source() -> None:
    held_out = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "engine").rglob("*.py"))]
    assert BULK.encode_batch(held_out) == PLAIN.encode_batch(held_out)


def test_bulk_ids_are_those_of_the_model_that_is_shipped() -> None:
    definition = (ROOT / "engine" / "models" / "default" / "tokenizer.json").read_text(encoding="utf-8")
    plain, bulk = Tokenizer(definition), BulkTokenizer(definition)
    chance = random.Random(1)
    for text in SOURCE:
        start = chance.randrange(len(text))
        assert bulk.encode(text[start:]) == plain.encode(text[start:])


def test_marks_in_a_text_stay_text() -> None:
    for mark in DEEPSEEK_CODER.marks:
        ids = BULK.encode(f"a{mark}b")
        assert not set(ids) & BULK.control_ids
        assert BULK.decode(ids) == f"a{mark}b"


def test_a_bulk_tokenizer_may_go_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(BULK)).encode(SOURCE[0]) == BULK.encode(SOURCE[0])


def test_the_vocabulary_has_the_size_asked_for_and_the_marks_on_top() -> None:
    assert PLAIN.control_id(DEEPSEEK_CODER.prefix_mark) in range(2000, PLAIN.vocab_size)
    assert min(PLAIN.control_ids) == 2000
    assert PLAIN.vocab_size == 2000 + len(PLAIN.control_ids)


def test_line_ends_and_digits_are_tokens_of_their_own() -> None:
    pieces = [PLAIN.token_bytes(number) for number in PLAIN.encode("a\n\n    1234\r\n")]
    assert pieces.count(b"\n") == 3
    assert all(len(piece) == 1 for piece in pieces if piece.strip().isdigit())


@pytest.mark.parametrize("splits", SPLITS)
def test_other_splits_can_be_compared_and_lose_nothing(splits: str) -> None:
    definition = train_tokenizer(SOURCE, vocab_size=600, sample_bytes=100_000, splits=splits)
    assert 1.5 < bytes_per_token(definition, SOURCE[:3]) < 5
    tokenizer = BulkTokenizer(definition)
    assert tokenizer.decode(tokenizer.encode(SOURCE[0])) == SOURCE[0]
    assert tokenizer.encode(SOURCE[0]) == Tokenizer(definition).encode(SOURCE[0])
