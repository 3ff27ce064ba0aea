"""The loop that writes a completion token by token, until a rule or the caller ends it."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from engine.api import FinishReason
from engine.decoding.healing import Rewriting
from engine.decoding.predictor import Predictor
from engine.decoding.sampling import Choose, Floats, restrict
from engine.decoding.stopping import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one slice of the prompt or one token brought."""

    text: str = ""
    """Text that can be shown now; whole characters."""
    log_probability: float | None = None
    """Of the token; None when none was chosen, or when it only wrote again what healing had taken back."""
    finish_reason: FinishReason | None = None
    """Set on the last step."""


def write(
    predictor: Predictor,
    *,
    rewriting: Rewriting,
    stop: Stop,
    choose: Choose,
    end_ids: Collection[int],
    max_tokens: int,
    cancelled: Callable[[], bool],
    rank: int = 0,
) -> Iterator[Step]:
    """Yield a step before each slice of the prompt and after each token; `cancelled` is asked before every one.

    Args:
        predictor: says how likely each token is.
        rewriting: says which tokens may be written.
        stop: says where the text ends.
        choose: picks a token.
        end_ids: the tokens that end a completion.
        max_tokens: most tokens, those that only write again what healing took back not counted.
        cancelled: whether nobody waits for the answer any more.
        rank: which of the likeliest first tokens begins the text: 0 leaves it to `choose`, 1 is the second likeliest.
    """
    if max_tokens <= 0:
        yield Step(finish_reason=FinishReason.MAX_TOKENS)
        return
    for _ in predictor.read_prompt():
        yield Step()
        if cancelled():
            yield Step(finish_reason=FinishReason.CANCELLED)
            return
    new_tokens = 0
    while new_tokens < max_tokens:
        if cancelled():
            yield Step(finish_reason=FinishReason.CANCELLED)
            return
        probabilities = predictor.probabilities(rewriting.remaining, room=max_tokens - new_tokens)
        probabilities = restrict(probabilities, rewriting.candidates())
        token = choose(probabilities)
        if rank and not new_tokens and rewriting.beyond(token):
            token = _ranked(probabilities, rank, rewriting)
        log_probability = math.log(probabilities[token])
        if token in end_ids:
            yield Step(text=stop.flush(), log_probability=log_probability, finish_reason=FinishReason.END_MARK)
            return
        beyond = rewriting.beyond(token)
        is_new = bool(beyond)
        new_tokens += is_new
        text, reason = stop.push(rewriting.push(token))
        yield Step(text=text, log_probability=log_probability if is_new else None, finish_reason=reason)
        if reason is not None:
            return
        predictor.append(token, beyond)
    yield Step(finish_reason=FinishReason.MAX_TOKENS)


def _ranked(probabilities: Floats, rank: int, rewriting: Rewriting) -> int:
    """Return the token of a rank among the likeliest that write something new; the last one where they are fewer."""
    possible = np.argsort(-probabilities, kind="stable")[: np.count_nonzero(probabilities)].tolist()
    new = [token for token in possible if rewriting.beyond(token)]
    return int(new[min(rank, len(new) - 1)])
