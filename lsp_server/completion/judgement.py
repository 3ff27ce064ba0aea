"""Chooses what to show of what was written: the steps, the user's dismissals, and the confidence gate."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from engine.api import Length
from lsp_server.completion.answer import Answer, Facts, Hidden, Ranked, Source
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.confidence import calibration, confidence, cuts, first_line_end
from lsp_server.completion.postprocess import DropReason, Suggestion, postprocess
from lsp_server.completion.rejections import ENOUGH, Rejections
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.settings import Assertiveness

LARGEST_CHOICE: Final = 3
"""Suggestions to cycle through."""
_MATTERS_OF_TASTE: Final = ("drop_near_copy", "drop_too_little", "drop_unknown_name", "drop_syntax_error")
"""Steps that an explicit request goes without where nothing else is left."""
_TRIES: Final = 4
"""Cuts of one candidate that are put through all steps."""
_UNSURE: Final = "too unsure"
_DISMISSED: Final = f"dismissed {ENOUGH} times"


def judge(
    candidates: Sequence[Candidate],
    snapshot: Snapshot,
    length: Length,
    *,
    assertiveness: Assertiveness,
    rejections: Rejections,
    source: Source,
    facts: Facts,
    on_screen: int = 0,
    without: Collection[str] = (),
) -> Answer:
    """Return what to show at a cursor.

    Args:
        candidates: what the engine wrote, best first.
        snapshot: the cursor.
        length: how far a suggestion may go.
        assertiveness: how sure an unasked suggestion must be.
        rejections: what the user sent away.
        source: where the candidates come from.
        facts: what it took to write them.
        on_screen: characters of the first candidate that are on the screen while the user types into them; they stay.
        without: names of steps to leave out, for a benchmark that measures each of them.
    """
    asked = snapshot.trigger is Trigger.INVOKED
    needed = 0.0 if asked else calibration().needed[assertiveness]
    shown: dict[str, Ranked] = {}
    hidden = []
    for number, candidate in enumerate(candidates):
        least = on_screen if number == 0 else 0
        outcome = _best_cut(candidate, snapshot, length, needed=needed, least=least, without=without)
        if isinstance(outcome, Hidden):
            hidden.append(outcome)
        elif not asked and rejections.holds(snapshot, outcome.suggestion.text):
            hidden.append(Hidden(text=outcome.suggestion.text, reason=_DISMISSED, confidence=outcome.confidence))
        else:
            shown.setdefault(outcome.suggestion.text, outcome)
    # One that calls what exists nowhere goes behind all others.
    best = sorted(shown.values(), key=lambda one: (one.is_doubtful, -(one.confidence or 0.0)))
    return Answer(
        reason=source.value if best else next((one.reason for one in hidden), DropReason.BLANK.value),
        ranked=tuple(best[: LARGEST_CHOICE if asked else 1]),
        hidden=tuple(hidden),
        source=source,
        length=length,
        needed=None if asked else needed,
        facts=facts,
    )


def _best_cut(
    candidate: Candidate,
    snapshot: Snapshot,
    length: Length,
    *,
    needed: float,
    least: int,
    without: Collection[str],
) -> Ranked | Hidden:
    """Return the longest beginning of a candidate that is sure enough and passes all steps.

    One that is asked for stays whole, and goes without the steps that are a matter of taste if need be.
    """
    refusal: Hidden | None = None
    tries = 0
    for end in cuts(candidate):
        sure = confidence(candidate, min(end, first_line_end(candidate.text)), snapshot)
        if sure is not None and sure < needed and end > least:
            refusal = refusal or Hidden(text=candidate.text, reason=_UNSURE, confidence=sure)
            continue
        part = candidate if end == len(candidate.text) else _beginning(candidate, end)
        outcome = postprocess(part, snapshot, length, skip=(*without, *(_MATTERS_OF_TASTE if end <= least else ())))
        if isinstance(outcome, Suggestion):
            return Ranked(suggestion=outcome, confidence=sure)
        refusal = refusal or Hidden(text=part.text, reason=outcome.value, confidence=sure)
        tries += 1
        if snapshot.trigger is Trigger.INVOKED or tries == _TRIES:
            break
    if snapshot.trigger is Trigger.INVOKED:
        outcome = postprocess(candidate, snapshot, length, skip=(*without, *_MATTERS_OF_TASTE))
        if isinstance(outcome, Suggestion):
            return Ranked(suggestion=outcome, confidence=None, is_doubtful=True)
    return refusal or Hidden(text=candidate.text, reason=DropReason.BLANK.value)


def _beginning(candidate: Candidate, end: int) -> Candidate:
    return replace(candidate, text=candidate.text[:end], is_cut=False, is_beginning=True)
