"""What came of one request: what is shown, what is hidden and why, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from engine.api import Length, Snippet
from lsp_server.completion.postprocess import Suggestion


class Source(Enum):
    """Where an answer comes from; the value is for a person."""

    ENGINE = "engine"
    CACHE = "cache"
    IN_FLIGHT = "in flight"
    """An earlier keystroke's question, still being answered."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A suggestion to show."""

    suggestion: Suggestion
    confidence: float | None
    """How likely its first line is to be kept, from 0 to 1; None where the engine says nothing of it."""
    is_doubtful: bool = False
    """Whether it would have been hidden if nobody had asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A text that is not shown."""

    text: str
    reason: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one question to the engine took; small, since it is kept with every text."""

    snippets: Sequence[Snippet] = ()
    snippets_used: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of one request."""

    reason: str
    """Where the suggestion comes from, or why there is none, in a few words without source text."""
    ranked: tuple[Ranked, ...] = ()
    """Best first."""
    hidden: tuple[Hidden, ...] = ()
    source: Source = Source.NONE
    length: Length | None = None
    needed: float | None = None
    """The confidence that was asked for."""
    facts: Facts = field(default_factory=Facts)

    @property
    def suggestion(self) -> Suggestion | None:
        """The best suggestion."""
        return self.ranked[0].suggestion if self.ranked else None

    @property
    def timings(self) -> Mapping[str, float]:
        """Milliseconds by hop; empty where the engine was not asked for this request."""
        return self.facts.timings if self.source is not Source.CACHE else {}
