"""The door to the engine: what a caller asks, what it gets, and the protocol both ends speak (no torch)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

MAX_ALTERNATIVES = 8
"""Completions of one request at most."""


class Snippet(Protocol):
    """A piece of another file that goes in front of the prompt; `repo_context.snippet.Snippet` fits it."""

    @property
    def path(self) -> str:
        """Path relative to the repository's root, with forward slashes."""

    @property
    def comment(self) -> str:
        """The line-comment marker of the snippet's language, for the path header (`#`, `//`, `--`)."""

    @property
    def text(self) -> str:
        """The source text, without the path header."""


class Length(Enum):
    """How far a completion may go."""

    LINE = "line"
    """Up to the end of the current line."""
    BLOCK = "block"
    """Several lines; ends at an end mark, at `max_tokens`, or where indentation falls below the cursor's line."""


class BlankLines(Enum):
    """What a blank line means to a completion of several lines."""

    AUTO = "auto"
    """It ends one whose next line is indented no deeper than the first; two blank lines end any."""
    END = "end"
    """The first one behind some text ends the completion."""
    KEEP = "keep"
    """Nothing: indentation alone ends the block."""


class FinishReason(Enum):
    """Why a completion ended."""

    END_MARK = "end_mark"
    LINE_END = "line_end"
    BLOCK_END = "block_end"
    MAX_TOKENS = "max_tokens"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One completion to make at one cursor."""

    document: str
    """Identity of the edited document (a URI, say); a newer request for it supersedes an older one."""
    path: str
    """Path of the edited file as it appears in the prompt's header, relative to its repository."""
    comment: str
    """Line-comment marker of the edited file's language."""
    prefix: str
    suffix: str
    snippets: Sequence[Snippet] = ()
    """Best first; the prompt keeps as many as fit."""
    collection: str | None = None
    """Name of the collection (a repository) whose n-gram statistics are mixed in; see `Engine.learn`."""
    length: Length = Length.LINE
    max_tokens: int = 64
    """Upper bound on new tokens."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    alternatives: int = 1
    """Completions wanted, at most `MAX_ALTERNATIVES`; the others begin with the next likeliest first tokens (or are
    other samples), and those that say the same are left out."""
    blank_lines: BlankLines = BlankLines.AUTO
    instruction: str | None = None
    """A question for an instruct model, in place of a completion: greedy, and nothing else but `max_tokens` counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of streamed text: whole characters only."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The end of a stream: the whole text and how it came about."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    mean_log_probability: float
    """Mean natural-log probability of the new tokens (0 when there are none)."""
    snippets_used: int
    token_scores: Sequence[tuple[int, float]] = ()
    """For each new token, the index behind its last character in `text`, and its natural-log probability.

    The first may hold what a healed token writes of a text; a last one that wrote nothing is the decision to end.
    """
    prompt_tokens_read: int = 0
    """Those of the prompt's tokens that were not kept from an earlier request."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by hop: `queue`, `prompt`, `prefill`, `decode`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What an engine process is and holds."""

    process_id: int
    model: str
    """The model folder or name that is served."""
    parameters: int
    device: str
    dtype: str
    context_length: int
    threads: int
    memory_bytes: int
    """Resident set size."""
    uptime_seconds: float
    collections: Mapping[str, int]
    """Tokens learned by collection."""
    memory_limit_bytes: int = 0
    """What weights, keys and values may take; 0 where that is not ours to say."""
    key_value_bytes: int = 0
    """Keys and values of the documents' prompts."""


class Engine(Protocol):
    """What a caller may ask of any engine; all of it may raise `EngineError`."""

    def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        """Stream `Chunk`s and their `Completion`, then a `Completion` for each alternative asked for.

        Closing the iterator (or cancelling its consumer) aborts the work within one token.
        """

    async def learn(self, collection: str, files: Mapping[str, Path]) -> int:
        """Add or refresh files (name → path on disk) in a collection's n-gram statistics; returns its tokens.

        Names are repository-relative paths as in `CompletionRequest.path`. Unreadable files are skipped.
        """

    async def forget(self, collection: str, names: Sequence[str]) -> None:
        """Remove files from a collection."""

    async def status(self) -> EngineStatus:
        """Say what is served and held."""

    async def close(self) -> None:
        """Let go of the connection (the process itself ends when idle)."""
