"""The loop that writes a completion token by token, until a rule or the caller ends it."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from engine.api import FinishReason
from engine.decoding.healing import Rewriting
from engine.decoding.predictor import Predictor
from engine.decoding.sampling import Choose, restrict
from engine.decoding.stopping import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one token brought."""

    text: str
    """Text that can be shown now; whole characters."""
    log_probability: float | None
    """Of the token; None when none was chosen, or when it only wrote again what healing had taken back."""
    finish_reason: FinishReason | None
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
) -> Iterator[Step]:
    """Yield a step for each token; `cancelled` is asked before every one.

    Args:
        predictor: says how likely each token is.
        rewriting: says which tokens may be written.
        stop: says where the text ends.
        choose: picks a token.
        end_ids: the tokens that end a completion.
        max_tokens: most tokens, those that only write again what healing took back not counted.
        cancelled: whether nobody waits for the answer any more.
    """
    new_tokens = 0
    while new_tokens < max_tokens:
        probabilities = None if cancelled() else predictor.probabilities(rewriting.remaining)
        if probabilities is None:
            yield Step(text="", log_probability=None, finish_reason=FinishReason.CANCELLED)
            return
        probabilities = restrict(probabilities, rewriting.candidates())
        token = choose(probabilities)
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
    yield Step(text="", log_probability=None, finish_reason=FinishReason.MAX_TOKENS)
