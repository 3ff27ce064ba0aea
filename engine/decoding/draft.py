"""Guesses the next few tokens, so that the network can check them all in one pass (speculative decoding).

A draft is what followed the longest match of the last tokens: in the prompt and the new text (prompt lookup, Saxena
2023), in the open file, or in the repository's n-gram statistics. Drafts never change what is written, only how many
passes it takes: each drafted token is kept if it is the one that would have been chosen anyway.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from engine.decoding.healing import Healing
from engine.ngram import MAX_CONTEXT, Continuation, NgramModel

_LONGEST_DRAFT: Final = 12
_SHORTEST_MATCH: Final = 2
"""Tokens; what followed one token alone is seldom right twice."""
_COST_OF_A_TOKEN: Final = 0.2
"""What one more token costs in a pass, against a pass with one: checking 8 tokens takes 2.2-3 times as long as one."""
_FORGETTING: Final = 0.98
_PRIOR_TRIALS: Final = 8.0


Draft = Continuation
"""A guess: what followed the last tokens elsewhere."""
NO_DRAFT: Final = Draft(tokens=[], match=0)


class AcceptanceRates:
    """How often drafted tokens turn out right, by how much was matched; learned while serving."""

    def __init__(self) -> None:
        matches = np.arange(MAX_CONTEXT + 1)
        self._trials = np.full(MAX_CONTEXT + 1, _PRIOR_TRIALS)
        self._hits = self._trials * np.clip(0.35 + 0.04 * matches, 0.0, 0.9)

    def length(self, match: int) -> int:
        """Return the draft length that promises the most new tokens for its cost; 0 where none is worth it."""
        rate = self._hits[match] / self._trials[match]
        gains = [
            sum(rate**count for count in range(length + 1)) / (1 + _COST_OF_A_TOKEN * length)
            for length in range(_LONGEST_DRAFT + 1)
        ]
        return int(np.argmax(gains))

    def learn(self, match: int, *, accepted: int, drafted: int) -> None:
        """Note that the first `accepted` tokens of a draft were right, and the next one, if any, wrong."""
        tried = min(drafted, accepted + 1)
        self._trials[match] = self._trials[match] * _FORGETTING + tried
        self._hits[match] = self._hits[match] * _FORGETTING + accepted


class PromptIndex:
    """Finds what followed the last tokens earlier in one sequence, which grows."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._behind: dict[tuple[int, int], list[int]] = {}
        self.extend(ids)

    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens."""
        for token in ids:
            self._ids.append(token)
            if len(self._ids) > 2:
                # Indexed one token late, so that the end of the sequence never matches itself.
                self._behind.setdefault((self._ids[-3], self._ids[-2]), []).append(len(self._ids) - 1)

    def continuation(self, limit: int) -> Draft:
        """Return what followed the longest match of the sequence's end, of several the last."""
        ids, best, best_match = self._ids, 0, 0
        for position in reversed(self._behind.get((ids[-2], ids[-1]), ()) if len(ids) > 1 else ()):
            match = 2
            while match < MAX_CONTEXT and match < position and ids[position - 1 - match] == ids[-1 - match]:
                match += 1
            if match > best_match:
                best, best_match = position, match
            if match == MAX_CONTEXT:
                break
        return Draft(tokens=ids[best : best + limit] if best_match else [], match=best_match)


class Drafter:
    """Proposes drafts from everything at hand."""

    def __init__(
        self,
        *,
        models: Sequence[NgramModel],
        rates: AcceptanceRates,
        healing: Healing,
        is_last: Callable[[int], bool] | None,
    ) -> None:
        """Take the sources.

        Args:
            models: n-gram models, the more trusted first.
            rates: how long drafts may be.
            healing: knows how bytes can be written.
            is_last: whether nothing behind a token will be wanted; None where everything is.
        """
        self._models = models
        self._rates = rates
        self._healing = healing
        self._is_last = is_last

    def propose(self, context: Sequence[int], index: PromptIndex, *, room: int, remaining: bytes) -> Draft:
        """Return the draft that follows the longest match, perhaps empty.

        Args:
            context: the last tokens, what was written included.
            index: of the whole sequence up to the same place.
            room: most tokens.
            remaining: bytes that the next tokens have to write.
        """
        allowed = self._healing.candidates(remaining) if remaining else None
        drafts = [model.continuation(context, _LONGEST_DRAFT, allowed) for model in self._models]
        drafts.append(index.continuation(_LONGEST_DRAFT))
        usable = [draft for draft in drafts if self._healing.writes(draft.tokens, remaining)]
        best = max(usable, key=lambda draft: draft.match, default=NO_DRAFT)
        if best.match < _SHORTEST_MATCH:
            # Bytes that are only written again are certain but for the last token, which may go on.
            return Draft(tokens=self._healing.natural(remaining)[:-1][:room], match=0)
        length = min(room, self._rates.length(best.match))
        return Draft(tokens=self._until_last(best.tokens[:length]), match=best.match)

    def learn(self, draft: Draft, accepted: int) -> None:
        """Note how many tokens of a draft were right."""
        if draft.match:
            self._rates.learn(draft.match, accepted=accepted, drafted=len(draft.tokens))

    def _until_last(self, tokens: list[int]) -> list[int]:
        if self._is_last is None:
            return tokens
        end = next((index + 1 for index, token in enumerate(tokens) if self._is_last(token)), len(tokens))
        return tokens[:end]
