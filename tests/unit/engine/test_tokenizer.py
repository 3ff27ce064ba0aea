"""Text to ids and back; what a user types is never a control token."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as LibraryTokenizer

from engine.errors import ModelFolderError
from engine.fim_formats import FORMATS
from engine.tokenizer import Tokenizer
from train.tokenizer import train_tokenizer

SOURCE = "def load(path):\n    with open(path) as file:\n        return file.read()\n" * 20
OURS = train_tokenizer([SOURCE], vocab_size=400, sample_bytes=10_000)


def _with_marks(marks: list[str], *, special: bool) -> str:
    """A byte-level tokenizer that knows `marks` as added tokens."""
    tokenizer = LibraryTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([SOURCE], trainer=trainer)
    tokenizer.add_tokens([AddedToken(mark, special=special, normalized=False) for mark in marks])
    return tokenizer.to_str()


ALL_MARKS = sorted({mark for fim in FORMATS for mark in fim.marks})


@pytest.mark.parametrize("special", [True, False], ids=["special", "not special"])
@pytest.mark.parametrize("mark", ALL_MARKS)
def test_the_text_of_a_mark_never_becomes_its_control_token(mark: str, special: bool) -> None:
    definition = _with_marks(ALL_MARKS, special=special)
    tokenizer = Tokenizer(definition)
    text = f"x = '{mark}'{mark}\n{mark}"

    assert LibraryTokenizer.from_str(definition).encode(text).ids.count(tokenizer.control_id(mark)) == 3, "a fair test"
    ids = tokenizer.encode(text)
    assert not tokenizer.control_ids.intersection(ids)
    assert tokenizer.encode_batch([text]) == [ids]
    assert tokenizer.decode(ids) == text


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_decoding_gives_back_any_text(text: str) -> None:
    tokenizer = Tokenizer(OURS)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_a_stream_gives_whole_characters_and_all_of_them(text: str) -> None:
    tokenizer = Tokenizer(OURS)
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in tokenizer.encode(text)]
    assert "".join(pieces) == text
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces) or "\N{REPLACEMENT CHARACTER}" in text


def test_a_character_of_several_tokens_is_held_back_until_it_is_whole() -> None:
    tokenizer = Tokenizer(OURS)
    ids = tokenizer.encode("\N{SNOWMAN}")
    assert len(ids) == 3, "unseen, so one token a byte"
    stream = tokenizer.stream()
    assert [stream.push(token) for token in ids] == ["", "", "\N{SNOWMAN}"]


def test_line_ends_are_tokens_of_their_own() -> None:
    tokenizer = Tokenizer(OURS)
    for token in tokenizer.encode(SOURCE):
        assert b"\n" not in tokenizer.token_bytes(token) or tokenizer.token_bytes(token) == b"\n"


def test_digits_are_encoded_one_by_one() -> None:
    tokenizer = Tokenizer(train_tokenizer(["2024 2024 2024 1000 " * 50], vocab_size=400, sample_bytes=10_000))
    assert [tokenizer.token_bytes(token) for token in tokenizer.encode("2024")] == [b"2", b"0", b"2", b"4"]


def test_runs_of_spaces_kept_as_added_tokens_stay_text() -> None:
    tokenizer = Tokenizer(_with_marks(["    ", "<mark>"], special=False))
    ids = tokenizer.encode("    x")
    assert tokenizer.token_bytes(ids[0]) == b"    "
    assert tokenizer.control_id("    ") is None
    assert tokenizer.control_id("<mark>") is not None


def test_control_tokens_have_no_text() -> None:
    tokenizer = Tokenizer(OURS)
    assert tokenizer.control_ids
    assert tokenizer.decode(tokenizer.control_ids) == ""


@pytest.mark.parametrize("definition", ["", "{}", "not json", json.dumps({"model": {"type": "Nonsense"}})])
def test_a_broken_definition_says_what_to_do(definition: str) -> None:
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json is broken .*again"):
        Tokenizer(definition)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"cannot read .*tokenizer\.json"):
        Tokenizer.load(tmp_path)
