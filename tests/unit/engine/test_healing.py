import random

import numpy as np
import pytest

from engine.decoding.healing import Healing, Rewriting
from engine.tokenizer import Tokenizer
from tests.support.tiny_model import CORPUS, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(train_tokenizer())


@pytest.fixture(scope="module")
def healing(tokenizer):
    return Healing(tokenizer)


def slow_candidates(tokenizer, remaining):
    """Try every token: it fits when its bytes and the remaining ones agree as far as both go."""
    return {
        token
        for token in range(tokenizer.vocab_size)
        if (spelled := tokenizer.token_bytes(token))
        and (spelled.startswith(remaining) or remaining.startswith(spelled))
    }


@pytest.mark.parametrize("text", ["s", "se", "self.", "    ", "\n        ", ".fol", " ->", "é", "Settings(", "\t\t"])
def test_candidates_are_the_tokens_that_agree_with_what_was_taken_back(tokenizer, healing, text):
    # This vocabulary holds all 256 bytes, so that every rest can be spelled.
    remaining = text.encode()
    assert set(healing.candidates(remaining).tolist()) == slow_candidates(tokenizer, remaining)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "x",
        "self.fo",
        "    ",
        "\n    ",
        "def load",
        "a = (",
        "# café",
        "# 漢字",
        "# 👩‍💻",
        "\r\n\t",
        "  \n",
        "x" * 900,
    ],
)
def test_what_is_kept_and_what_is_taken_back_are_the_prefix(healing, prefix):
    healed = healing.heal(prefix)
    assert healed.prefix + healed.removed == prefix
    assert len(healed.removed.encode()) <= 35


@pytest.mark.parametrize(
    ("prefix", "removed"),
    [("        self.fol", ".fol"), ("def lo", " lo"), ("for path in sel", " sel")],
)
def test_a_piece_of_a_name_is_taken_back_with_what_joins_it(healing, prefix, removed):
    assert healing.heal(prefix).removed.endswith(removed.strip(". "))
    assert healing.heal(prefix).removed


def test_every_cut_of_a_text_can_be_written_again_as_the_tokens_of_the_whole(tokenizer, healing):
    """The tokens of the whole text are always among the candidates when the cut lies inside one of its last tokens."""
    lines = CORPUS.splitlines(keepends=True)
    rng = random.Random(0)
    for _ in range(200):
        start = rng.randrange(len(lines) - 3)
        text = "".join(lines[start : start + 3])
        cut = rng.randrange(1, len(text))
        healed = healing.heal(text[:cut])
        rewriting = Rewriting(healed.removed, healing, tokenizer, end_ids=(tokenizer.vocab_size - 1,))
        shown = ""
        for token in tokenizer.encode(text[len(healed.prefix) :]):
            assert token in rewriting.candidates()
            shown += rewriting.push(token)
        assert shown == text[cut:]


def test_nothing_but_text_may_be_written_while_bytes_remain(tokenizer, healing):
    end = tokenizer.control_id("<｜end▁of▁sentence｜>")
    rewriting = Rewriting("self", healing, tokenizer, end_ids=(end,))
    assert end not in rewriting.candidates()
    for token in tokenizer.encode("self"):
        assert rewriting.beyond(token) == b""
        assert rewriting.push(token) == ""
    assert end in rewriting.candidates()


def test_a_translated_prediction_keeps_its_mass_and_joins_what_can_be_joined(tokenizer, healing):
    rng = np.random.default_rng(0)
    joined = 0
    for remaining in (b"    ", b" ", b"sel", b"    re", b"self."):
        network = rng.random(tokenizer.vocab_size).astype(np.float32)
        network /= network.sum()
        translated = healing.translate(network, remaining)
        assert translated.sum() == pytest.approx(1, abs=1e-5)
        allowed = set(healing.candidates(remaining).tolist())
        for token in np.flatnonzero(translated).tolist():
            assert token in allowed
            piece = tokenizer.token_bytes(token).removeprefix(remaining)
            if tokenizer.token_bytes(token).startswith(remaining) and piece:
                (expected,) = (network[t] for t in range(len(network)) if tokenizer.token_bytes(t) == piece)
                assert translated[token] == expected
                joined += 1
    assert joined > 5


def test_a_piece_is_spelled_as_the_one_token_it_is(tokenizer, healing):
    for token in range(tokenizer.vocab_size):
        if piece := tokenizer.token_bytes(token):
            assert [tokenizer.token_bytes(part) for part in healing.spell(piece)] == [piece]
    assert healing.spell(b"") == []
    assert tokenizer.decode(healing.spell("größer".encode())) == "größer"


def test_no_mark_but_an_end_mark_is_ever_a_candidate(tokenizer, healing):
    end = tokenizer.control_id("<｜end▁of▁sentence｜>")
    rewriting = Rewriting("", healing, tokenizer, end_ids=(end,))
    assert set(rewriting.candidates().tolist()) & tokenizer.control_ids == {end}


def test_a_token_that_cannot_be_followed_is_no_candidate():
    """Without all single bytes some beginnings lead nowhere."""

    class ThreeTokens:
        vocab_size = 3

        def token_bytes(self, token):
            return (b"ab", b"abc", b"d")[token]

    healing = Healing(ThreeTokens())
    assert healing.candidates(b"abcd").tolist() == [1]
    assert healing.candidates(b"abd").tolist() == [0]
