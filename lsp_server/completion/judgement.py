"""Chooses what to show of what was written: the steps, the user's dismissals, and the confidence gate."""

from collections.abc import Collection, Sequence
from typing import Final

from engine.api import Length
from lsp_server.completion.answer import Answer, Facts, Hidden, Ranked, Source
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.confidence import calibration, confidence
from lsp_server.completion.postprocess import DropReason, postprocess
from lsp_server.completion.rejections import ENOUGH, Rejections
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.settings import Assertiveness

LARGEST_CHOICE: Final = 3
"""Suggestions to cycle through."""
_MATTERS_OF_TASTE: Final = ("drop_near_copy", "drop_too_little", "drop_unknown_name", "drop_syntax_error")
"""Steps that an explicit request goes without where nothing else is left."""
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
    shown_before: bool,
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
        shown_before: whether the user is typing into a suggestion that is on the screen; it stays there.
    """
    asked = snapshot.trigger is Trigger.INVOKED
    skip: Collection[str] = _MATTERS_OF_TASTE if shown_before else ()
    ranked, hidden = _sift(candidates, snapshot, length, skip)
    if asked and not ranked:
        ranked, hidden = _sift(candidates, snapshot, length, _MATTERS_OF_TASTE)
    needed = None if asked else calibration().needed[assertiveness]
    kept = []
    for one in ranked:
        reason = None
        if not asked and rejections.holds(snapshot, one.suggestion.text):
            reason = _DISMISSED
        elif needed is not None and not shown_before and one.confidence is not None and one.confidence < needed:
            reason = _UNSURE
        if reason is None:
            kept.append(one)
        else:
            hidden.append(Hidden(text=one.suggestion.text, reason=reason, confidence=one.confidence))
    shown = tuple(kept[: LARGEST_CHOICE if asked else 1])
    return Answer(
        reason=source.value if shown else next((one.reason for one in hidden), DropReason.BLANK.value),
        ranked=shown,
        hidden=tuple(hidden),
        source=source,
        length=length,
        needed=needed,
        facts=facts,
    )


def _sift(
    candidates: Sequence[Candidate], snapshot: Snapshot, length: Length, skip: Collection[str]
) -> tuple[list[Ranked], list[Hidden]]:
    """Run the steps over all candidates; what is left comes in order of its confidence, each text once."""
    ranked: dict[str, Ranked] = {}
    hidden = []
    for candidate in candidates:
        outcome = postprocess(candidate, snapshot, length, skip=skip)
        if isinstance(outcome, DropReason):
            hidden.append(Hidden(text=candidate.text, reason=outcome.value))
        elif outcome.text not in ranked:
            sure = confidence(candidate, outcome.text, snapshot)
            ranked[outcome.text] = Ranked(suggestion=outcome, confidence=sure)
    # A name that exists nowhere goes behind everything else.
    return sorted(ranked.values(), key=lambda one: -(one.confidence or 0.0)), hidden
