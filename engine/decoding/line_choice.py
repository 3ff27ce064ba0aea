"""Chooses among whole lines, by how likely each is as a whole and how well it fits the text around the cursor.

Token by token the likeliest token wins, not the likeliest line, and a model that reads left to right knows nothing of
what stands behind the cursor. By Bayes' rule a line is worth p(line | before) * p(behind | before, line): the n-gram
models propose the likeliest lines (beam search, exact for lines within its width), the same mixture that writes judges
each of them together with the first tokens behind it, and the features of `line_features` have their say.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.api import FinishReason
from engine.decoding.healing import Healing, Rewriting
from engine.decoding.predictor import Predictor
from engine.decoding.sampling import restrict
from engine.decoding.steps import Step
from engine.decoding.stopping import LineStop
from engine.line_features import BEHIND, LOG_PROBABILITY, Surroundings, score
from engine.tokenizer import Tokenizer

_SURE: Final = math.log(0.5)
"""No other line can be likelier than one of this log-probability; only what stands behind could speak for it."""
_MARGIN: Final = 3.0
"""A line, or a beginning of as many tokens, that is e^3 times less likely than the best by the n-gram models is out."""
_FAINT: Final = 1e-2
"""A token so many times less likely than the best begins no proposed line: it would fall below the margin."""
_LONGEST: Final = 40
"""Tokens of a proposed line."""
_TOKENS_BEHIND: Final = 6
"""Tokens behind the line that judge it; the open file's statistics know those further on, whatever the line."""
_CHARACTERS_BEHIND: Final = 80
_LEAST: Final = 1e-12
"""Probability of what no model has ever seen."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A line being written."""

    score: float
    tokens: tuple[int, ...]
    remaining: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """A line and what speaks for it."""

    text: str
    features: Mapping[str, float]


class LineChoice:
    """The lines that one cursor could get."""

    def __init__(
        self,
        *,
        predictor: Predictor,
        width: int,
        room: int,
        removed: str,
        prefix: str,
        suffix: str,
        weights: Mapping[str, float],
        healing: Healing,
        tokenizer: Tokenizer,
        end_ids: Sequence[int],
    ) -> None:
        """Take a cursor.

        Args:
            predictor: of the text that begins at the cursor.
            width: how many lines are proposed.
            room: most tokens that can be read behind the prompt.
            removed: what healing took back.
            prefix: the text before the cursor.
            suffix: the text behind the cursor.
            weights: of the features (`line_features`).
            healing: knows which tokens write `removed`.
            tokenizer: of the model.
            end_ids: the end marks.
        """
        self._predictor = predictor
        self._width = width
        self._room = room
        self._removed = removed
        self._prefix = prefix
        self._suffix = suffix
        self._weights = weights
        self._behind = "\n" + suffix[:_CHARACTERS_BEHIND].partition("\n")[2]
        self._healing = healing
        self._tokenizer = tokenizer
        self._end_ids = end_ids

    def choose(self, steps: Iterator[Step], cancelled: Callable[[], bool]) -> Iterator[Step]:
        """Yield the steps of the best line, that of `steps` included; empty ones while it is sought.

        What was cancelled, or reached no line end, stays as it was written.
        """
        written = []
        for step in steps:
            written.append(step)
            yield Step()
        text = "".join(step.text for step in written)
        best, highest = text, -math.inf
        surroundings = Surroundings(self._prefix, self._suffix)
        for line in self.lines(written):
            value = self._value(line, surroundings, least=highest)
            if value > highest:
                best, highest = line, value
            yield Step()
            if cancelled():
                yield from (*written[:-1], replace(written[-1], finish_reason=FinishReason.CANCELLED))
                return
        yield from written if best == text else self._spelled(best)

    def lines(self, written: Sequence[Step]) -> list[str]:
        """Return what was written and the lines to compare it with, or nothing where no comparison is due."""
        is_sure = sum(step.log_probability or 0.0 for step in written) > _SURE
        if is_sure or written[-1].finish_reason is not FinishReason.LINE_END:
            return []
        lines = dict.fromkeys(["".join(step.text for step in written), *self._proposals()])
        return list(lines) if len(lines) > 1 else []

    def judge(self, lines: Iterable[str]) -> Iterator[JudgedLine]:
        """Yield lines with their features, but for those that are too long to be read."""
        surroundings = Surroundings(self._prefix, self._suffix)
        for line in lines:
            tokens, end = self._tokens_of(line)
            if end <= len(tokens):
                scores = list(self._log_probabilities(tokens))
                read = {LOG_PROBABILITY: sum(scores[:end]), BEHIND: sum(scores[end:])}
                yield JudgedLine(line, surroundings.features(line) | read)

    def _value(self, line: str, surroundings: Surroundings, *, least: float) -> float:
        """Return the weighted sum of a line's features; -inf once it must end below `least`, or if it is too long."""
        tokens, end = self._tokens_of(line)
        if end > len(tokens):
            return -math.inf
        weights = self._weights.get(LOG_PROBABILITY, 0.0), self._weights.get(BEHIND, 0.0)
        only_falls = min(weights) >= 0
        value = score(surroundings.features(line), self._weights)
        for index, log_probability in enumerate(self._log_probabilities(tokens)):
            value += weights[index >= end] * log_probability
            if only_falls and value < least:
                return -math.inf
        return value

    def _tokens_of(self, line: str) -> tuple[list[int], int]:
        """Return a line in tokens with the first ones behind it, as far as they can be read, and where it ends."""
        end = len(self._tokenizer.encode(f"{self._removed}{line}\n"))
        tokens = self._tokenizer.encode(self._removed + line + self._behind)
        return tokens[: min(end + _TOKENS_BEHIND, self._room)], end

    def _log_probabilities(self, tokens: Sequence[int]) -> Iterator[float]:
        for token, probabilities in zip(tokens, self._predictor.along(tokens), strict=True):
            yield math.log(max(float(probabilities[token]), _LEAST))

    def _proposals(self) -> list[str]:
        """Return the likeliest lines by the n-gram models, best first.

        None is blank: where nothing is likely a blank line is likelier than any other, and suggests nothing.
        """
        beam = [_Open(0.0, (), self._removed.encode(), b"")]
        found: list[tuple[float, str]] = []
        for _ in range(_LONGEST):
            longer = sorted((new for line in beam for new in self._continue(line)), key=lambda line: -line.score)
            beam = []
            for line in longer[: 2 * self._width]:
                new = line.text[len(self._removed.encode()) :]
                if b"\n" in new:
                    text = new.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
                    found += [(line.score, text)] if text.strip() else []
                elif len(beam) < self._width:
                    beam.append(line)
            found = sorted(found, key=lambda line: -line[0])[: self._width]
            # Log-probabilities only fall: what lies too far below the best line that was found stays there.
            least = found[0][0] - _MARGIN if found else -math.inf
            found = [line for line in found if line[0] > least]
            least = max(least, beam[0].score - _MARGIN) if beam else least
            beam = [line for line in beam if line.score > least]
            if not beam:
                break
        return [text for _, text in found]

    def _continue(self, line: _Open) -> Iterator[_Open]:
        """Yield a line with each of the likeliest next tokens."""
        probabilities = self._predictor.by_the_cache(line.tokens)
        if line.remaining:
            probabilities = restrict(probabilities, self._healing.candidates(line.remaining))
        # A first look leaves few: sorting a whole vocabulary took a third of the time of all proposals.
        likely = np.flatnonzero(probabilities > _FAINT * probabilities.max())
        shares = probabilities[likely]
        for index in np.argsort(-shares, kind="stable")[: self._width].tolist():
            token = int(likely[index])
            spelled = self._tokenizer.token_bytes(token)
            if spelled:
                yield _Open(
                    line.score + math.log(shares[index]),
                    (*line.tokens, token),
                    line.remaining[len(spelled) :],
                    line.text + spelled,
                )

    def _spelled(self, line: str) -> Iterator[Step]:
        """Yield a line as steps, as if it had been written token by token."""
        tokens = self._tokenizer.encode(f"{self._removed}{line}\n")
        rewriting = Rewriting(self._removed, self._healing, self._tokenizer, self._end_ids)
        stop = LineStop()
        for token, probabilities in zip(tokens, self._predictor.along(tokens), strict=True):
            score = math.log(max(float(restrict(probabilities, rewriting.candidates())[token]), _LEAST))
            is_new = bool(rewriting.beyond(token))
            text, reason = stop.push(rewriting.push(token))
            yield Step(text=text, log_probability=score if is_new else None, finish_reason=reason)
