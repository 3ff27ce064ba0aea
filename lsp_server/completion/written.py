"""Between the engine and the documents: how much of a document it is sent, and what its answer means for it."""

from collections.abc import Sequence
from typing import Final

from engine.api import Completion, CompletionRequest, FinishReason, Snippet
from lsp_server.completion.candidate import Candidate, TokenScore
from lsp_server.completion.indentation import in_style, style_around
from lsp_server.completion.snapshot import Snapshot

_SENT: Final = 60_000
"""Characters before and after the cursor that the engine is sent: what it counts of the open file."""
_STEP: Final = 14
"""The first character sent moves in steps of 2 ** 14: what the engine has read of a document stays what it was."""
_CUT: Final = (FinishReason.MAX_TOKENS, FinishReason.CANCELLED)


def request_at(snapshot: Snapshot, snippets: Sequence[Snippet]) -> CompletionRequest:
    """Ask for a line at the cursor; of the text around it, in which a notebook's other cells are, what lies near."""
    above = snapshot.context_above
    start = max(0, len(above) - _SENT) >> _STEP << _STEP
    return CompletionRequest(
        document=snapshot.uri,
        path=snapshot.path,
        comment=snapshot.comment,
        prefix=above[start:],
        suffix=snapshot.context_below[:_SENT],
        snippets=snippets,
        collection=snapshot.root,
    )


def as_candidates(completions: Sequence[Completion], snapshot: Snapshot) -> tuple[Candidate, ...]:
    """Return what the engine wrote as text of the document: its line ends, its indentation."""
    return tuple(
        Candidate(
            text=_in_documents_style(one.text, snapshot),
            scores=tuple(TokenScore(end=end, log_probability=score) for end, score in one.token_scores),
            is_cut=one.finish_reason in _CUT,
        )
        for one in completions
    )


def _in_documents_style(text: str, snapshot: Snapshot) -> str:
    if "\n" not in text:
        return text
    style = style_around(snapshot)
    text = in_style(text, style) if style is not None else text
    return text.replace("\r\n", "\n").replace("\n", snapshot.line_end)
