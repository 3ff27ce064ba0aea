"""Token healing: takes back the last tokens of a prefix that ends inside a token, and has them written again.

A cursor stands anywhere: after `self.fo`, or after the spaces of an indentation. The tokens on its left are then not
those that the finished text will have, and a model that has never seen `fo` before `o` guesses badly (arXiv 2403.08688
measures three orders of magnitude in the right token's probability). The context therefore ends a little earlier, and
the first new tokens must begin with the bytes that were taken back.

The n-gram models need this: they have only seen whole files. A network trained on character-level cuts has read
prefixes that end anywhere, and middles that go on from there, so it reads the prefix as it is; `Healing.translate` says
what its prediction of the next piece means for the tokens that write the taken bytes and that piece as one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.decoding.sampling import Floats
from engine.tokenizer import Tokenizer

_MAX_TOKENS = 3
_MAX_BYTES = 32
_TAIL_LINES = 3
"""Lines encoded to find the last tokens; where a line begins hardly matters three lines further."""
_TAIL_CHARACTERS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedPrefix:
    """A prefix that ends at a place where a token can begin."""

    prefix: str
    """What is left of the prefix."""
    removed: str
    """What the completion must begin with; empty when nothing had to be taken back."""


class Healing:
    """Knows which tokens of a vocabulary can begin, or go on, a given run of bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        table = [(tokenizer.token_bytes(token), token) for token in range(tokenizer.vocab_size)]
        table = sorted(entry for entry in table if entry[0])
        self._spellings = [spelling for spelling, _ in table]
        self._tokens = np.array([token for _, token in table], np.int64)
        self.longest_token: int = max(map(len, self._spellings), default=0)
        """Bytes of the longest token."""
        self._known = dict(reversed(table))  # of two tokens for one spelling, the lower id
        self._find_candidates = lru_cache(256)(self._candidates)
        self._find_translation = lru_cache(256)(self._translation)

    def candidates(self, remaining: bytes) -> npt.NDArray[np.int64]:
        """Return the ids of the tokens that may come next while `remaining` bytes must still be written.

        They are the tokens that begin with these bytes, and those that are a beginning of them after which the rest can
        be spelled too.
        """
        return self._find_candidates(remaining)

    def text_and(self, end_ids: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Return the ids of all tokens that stand for text, and `end_ids`."""
        return np.concatenate([self._tokens, np.array(end_ids, np.int64)])

    def heal(self, prefix: str) -> HealedPrefix:
        """Take back as many of the last three tokens as a longer token could replace."""
        tail = _tail(prefix)
        ids = self._tokenizer.encode(tail)
        spelled = tail.encode("utf-8")
        if b"".join(map(self._tokenizer.token_bytes, ids)) != spelled:
            return HealedPrefix(prefix=prefix, removed="")  # the tokenizer changes text: bytes cannot be matched up
        taken = self._bytes_to_take(ids)
        while taken and (spelled[-taken] & 0xC0) == 0x80:
            taken += 1  # never split a character: the prompt is text
        if not taken:
            return HealedPrefix(prefix=prefix, removed="")
        removed = spelled[-taken:].decode("utf-8")
        return HealedPrefix(prefix=prefix[: -len(removed)], removed=removed)

    def translate(self, network: Floats, remaining: bytes) -> Floats:
        """Turn probabilities of what follows the cursor into probabilities of tokens that start earlier.

        A token that writes `remaining` and then a piece is as likely as the piece. What is left over, pieces that no
        such token holds, goes to the token that the tokenizer itself would write `remaining` with.

        Args:
            network: float32 [vocabulary_size], of the token behind the cursor.
            remaining: the bytes before the cursor that are still to be written, not empty.
        """
        translation = self._find_translation(remaining)
        translated = np.zeros_like(network)
        translated[translation.tokens] = network[translation.pieces]
        translated[translation.within] += max(0.0, 1.0 - float(translated.sum()))
        return translated

    def spell(self, piece: bytes) -> list[int]:
        """Return the ids of a piece of text: the one token it is, or those the tokenizer gives."""
        if not piece:
            return []
        token = self._known.get(piece)
        return [token] if token is not None else self._tokenizer.encode(piece.decode("utf-8", errors="replace"))

    def writes(self, tokens: Sequence[int], remaining: bytes) -> bool:
        """Whether tokens begin with bytes that must be written, or with the first of them."""
        if not remaining:
            return True
        written = b"".join(map(self._tokenizer.token_bytes, tokens))
        return bool(written) and (written.startswith(remaining) or remaining.startswith(written))

    def natural(self, remaining: bytes) -> list[int]:
        """Return the tokens that the tokenizer itself would write bytes with."""
        return self._tokenizer.encode(remaining.decode("utf-8", errors="replace")) if remaining else []

    def _translation(self, remaining: bytes) -> "_Translation":
        low, high = self._range(remaining)
        longer = [
            (int(self._tokens[index]), self._known[self._spellings[index][len(remaining) :]])
            for index in range(low, high)
            if self._spellings[index][len(remaining) :] in self._known
        ]
        # A letter behind it keeps the tokenizer from merging the end of `remaining` in a way no code would.
        canonical = self._tokenizer.encode(remaining.decode("utf-8", errors="replace") + "x")[0]
        inside = remaining.startswith(self._tokenizer.token_bytes(canonical))
        return _Translation(
            tokens=np.array([token for token, _ in longer], np.int64),
            pieces=np.array([piece for _, piece in longer], np.int64),
            within=canonical if inside else int(self.candidates(remaining)[-1]),
        )

    def _bytes_to_take(self, ids: Sequence[int]) -> int:
        pieces = [self._tokenizer.token_bytes(token) for token in ids[-_MAX_TOKENS:]]
        for start in range(len(pieces)):
            taken = b"".join(pieces[start:])
            if len(taken) <= _MAX_BYTES and self._longer_exists(taken):
                return len(taken)
        return 0

    def _longer_exists(self, start: bytes) -> bool:
        low, high = self._range(start)
        return any(len(spelling) > len(start) for spelling in self._spellings[low:high])

    def _range(self, start: bytes) -> tuple[int, int]:
        low = bisect_left(self._spellings, start)
        return low, bisect_right(self._spellings, start, low, key=lambda spelling: spelling[: len(start)])

    def _candidates(self, remaining: bytes) -> npt.NDArray[np.int64]:
        low, high = self._range(remaining)
        found = [self._tokens[low:high]]
        for end in range(1, len(remaining)):
            if remaining[:end] in self._known and self._can_spell(remaining[end:]):
                low = bisect_left(self._spellings, remaining[:end])
                high = bisect_right(self._spellings, remaining[:end])
                found.append(self._tokens[low:high])
        return np.concatenate(found)

    def _can_spell(self, rest: bytes) -> bool:
        """Whether some tokens spell `rest`, the last one perhaps going on beyond it."""
        reachable = [True] + [False] * len(rest)
        for start in range(len(rest)):
            if not reachable[start]:
                continue
            low, high = self._range(rest[start:])
            if low < high:
                return True
            for end in range(start + 1, len(rest)):
                reachable[end] = reachable[end] or rest[start:end] in self._known
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Translation:
    tokens: npt.NDArray[np.int64]
    """Tokens that begin with the remaining bytes and go on."""
    pieces: npt.NDArray[np.int64]
    """For each, the token that its going on is."""
    within: int
    """The token that writes the remaining bytes, or their beginning, and nothing more."""


class Rewriting:
    """Holds the first tokens of a completion to the bytes that were taken back, and hides those bytes."""

    def __init__(self, removed: str, healing: Healing, tokenizer: Tokenizer, end_ids: Sequence[int]) -> None:
        """Start a completion that must begin with `removed`; only afterwards may it end."""
        self._remaining = removed.encode("utf-8")
        self._hidden = len(removed)
        self._healing = healing
        self._tokenizer = tokenizer
        self._stream = tokenizer.stream()
        self._end_ids = end_ids

    @property
    def remaining(self) -> bytes:
        """What is still to be written again."""
        return self._remaining

    def beyond(self, token: int) -> bytes:
        """Return the bytes that a token writes behind what was taken back."""
        return self._tokenizer.token_bytes(token)[len(self._remaining) :]

    def candidates(self) -> npt.NDArray[np.int64]:
        """Return the ids that may come next: tokens that stand for text, and end marks; no other mark ever."""
        if self._remaining:
            return self._healing.candidates(self._remaining)
        return self._healing.text_and(tuple(self._end_ids))

    def push(self, token: int) -> str:
        """Take the chosen token; return the text it adds behind what was taken back."""
        self._remaining = self._remaining[len(self._tokenizer.token_bytes(token)) :]
        text = self._stream.push(token)
        shown = text[self._hidden :]
        self._hidden -= min(self._hidden, len(text))
        return shown


def _tail(prefix: str) -> str:
    """The last lines of a prefix, with the newline in front of them, which may be part of a token."""
    start = len(prefix)
    for _ in range(_TAIL_LINES):
        start = prefix.rfind("\n", 0, start)
        if start < 0:
            break
    return prefix[max(start, 0, len(prefix) - _TAIL_CHARACTERS) :]
