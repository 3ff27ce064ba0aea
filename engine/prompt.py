"""The contract between training and serving: how a cursor and its snippets become the ids a model reads (no torch).

`build` lays out, for prefix-suffix-middle models:

    [begin of sequence] prefix-mark  snippets  #path/of/file  prefix  suffix-mark  suffix  middle-mark

Every snippet stands under a comment with its path, as DeepSeek-Coder trains (section 2.2 and the released README), and
so does the edited file. Training appends the middle and the end mark (`training_ids`); both go through `build`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from engine.api import Snippet
from engine.errors import ModelFolderError, PromptError
from engine.fim_formats import FORMATS, FimFormat, Order, by_name
from engine.tokenizer import Tokenizer

_CHARACTERS_PER_TOKEN = 4
"""First guess at how much text fills a token of budget; encoding costs more than anything else done here."""
_ANCHOR_LINES = 8
"""A cut prefix starts at a line divisible by this, so that its first byte moves once in 8 lines and not at every
keystroke: a changed first byte throws the engine's keys and values away."""


class PromptMode(Enum):
    """What of the text around a cursor a network is given."""

    FILL_IN_THE_MIDDLE = "fill-in-the-middle"
    """Prefix and suffix between marks, as `build` lays them out; the prefix may end inside a token."""
    SUFFIX_FIRST = "suffix-first"
    """Snippets, suffix, header and prefix, each behind the mark of its part, so that the middle simply goes on where
    the prefix ends. Prefix and middle are one text, as in Code Llama's SPM (section 2.3): the prefix ends between two
    tokens, and what is typed into the middle changes nothing that stands before it."""
    LEFT_TO_RIGHT = "left-to-right"
    """Snippets, header and prefix without marks, ended between two tokens: for networks that know nothing of holes."""

    @property
    def ends_between_tokens(self) -> bool:
        """Whether a prefix that ends inside a token must lose that token first."""
        return self is not PromptMode.FILL_IN_THE_MIDDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """What `prompt.json` says: the format a model was trained on and how its window is shared."""

    fim: FimFormat
    context_length: int
    """Tokens of prompt and completion together that the model is good for."""
    snippet_share: float = 0.3
    """Most of the prompt that snippets may take while prefix or suffix still want room."""
    suffix_share: float = 0.2
    """Most of the prompt that the suffix may take while prefix or snippets still want room."""
    mode: PromptMode = PromptMode.FILL_IN_THE_MIDDLE

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "PromptSettings":
        """Read the object that `to_json` wrote.

        Raises:
            ModelFolderError: a field is missing or senseless.
        """
        try:
            settings = cls(
                fim=by_name(raw["format"]),
                context_length=int(raw["context_length"]),
                snippet_share=float(raw.get("snippet_share", 0.3)),
                suffix_share=float(raw.get("suffix_share", 0.2)),
                mode=PromptMode(raw.get("mode", PromptMode.FILL_IN_THE_MIDDLE.value)),
            )
        except KeyError as error:
            raise ModelFolderError(f"prompt.json has no {error.args[0]!r}") from error
        except (TypeError, ValueError, PromptError) as error:
            raise ModelFolderError(f"prompt.json is broken: {error}") from error
        if not (settings.snippet_share >= 0 and settings.suffix_share >= 0):
            raise ModelFolderError("prompt.json: shares must not be negative")
        if settings.snippet_share + settings.suffix_share >= 1:
            raise ModelFolderError("prompt.json: snippet_share and suffix_share leave no room for the prefix")
        return settings

    def to_json(self) -> dict[str, Any]:
        """Return the object to store as `prompt.json`."""
        return {
            "format": self.fim.name,
            "context_length": self.context_length,
            "snippet_share": self.snippet_share,
            "suffix_share": self.suffix_share,
            "mode": self.mode.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptParts:
    """The text a prompt is made of."""

    path: str
    """Of the edited file, relative to its repository."""
    comment: str
    """Line-comment marker of the edited file's language."""
    prefix: str
    suffix: str
    snippets: Sequence[Snippet] = ()
    """Best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The ids a model reads, and what became of the parts."""

    ids: tuple[int, ...]
    prefix_ids: tuple[int, ...]
    """The prefix's share of `ids`, without headers."""
    suffix_ids: tuple[int, ...]
    snippets_used: int


def read_settings(folder: Path, tokenizer: Tokenizer, *, context_length: int) -> PromptSettings:
    """Read a model folder's `prompt.json`; without one, recognise the family by the marks its tokenizer knows.

    Args:
        folder: the model folder.
        tokenizer: that folder's tokenizer.
        context_length: the network's own limit in tokens; settings never exceed it.

    Raises:
        ModelFolderError: `prompt.json` is broken, its marks are unknown to the tokenizer, or no family fits.
    """
    path = folder / "prompt.json"
    if path.exists():
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"{path} is broken ({error}); write it again") from error
        if not isinstance(raw, dict):
            raise ModelFolderError(f"{path} must hold a JSON object")
        settings = PromptSettings.from_json(raw)
        _mark_ids(settings.fim, tokenizer)
        if settings.context_length > context_length:
            raise ModelFolderError(
                f"{path} asks for {settings.context_length} tokens of context, but config.json allows {context_length}"
            )
        return settings
    for fim in FORMATS:
        required = (fim.prefix_mark, fim.suffix_mark, fim.middle_mark)
        if all(tokenizer.control_id(mark) is not None for mark in required):
            return PromptSettings(fim=fim, context_length=context_length)
    raise ModelFolderError(
        f"{folder} has no prompt.json and its tokenizer knows no fill-in-the-middle marks of "
        f"{', '.join(fim.name for fim in FORMATS)}: is it a base model trained to fill in the middle?"
    )


def build(parts: PromptParts, settings: PromptSettings, tokenizer: Tokenizer, *, budget: int) -> Prompt:
    """Lay out a prompt of at most `budget` tokens.

    The marks are never cut. When not everything fits, suffix and snippets are held to their shares (less when they are
    short: room they leave goes to the others), and the text nearest the cursor is kept longest: the prefix loses its
    head, the suffix its tail, the snippets their last in rank. Cuts fall on line ends wherever a line end is left.

    Raises:
        PromptError: the budget cannot hold the marks and one token.
    """
    marks = _mark_ids(settings.fim, tokenizer)
    room = budget - len(marks.begin) - 3
    if room < 1:
        raise PromptError(f"a prompt of {budget} tokens cannot hold the marks; ask for fewer new tokens")
    header = tokenizer.encode(path_header(parts.path, parts.comment))
    if len(header) > room // 4:  # a path of hundreds of characters must not push the code out
        header = []
    room -= len(header)
    blocks = _snippet_blocks(parts.snippets, tokenizer)
    prefix = _encode_until_full(lambda length: parts.prefix[-length:], len(parts.prefix), room, tokenizer)
    read_suffix = "" if settings.mode is PromptMode.LEFT_TO_RIGHT else parts.suffix
    suffix = _encode_until_full(lambda length: read_suffix[:length], len(read_suffix), room, tokenizer)
    shares = _share_out(
        room,
        prefix=len(prefix),
        suffix=(len(suffix), int(room * settings.suffix_share)),
        snippets=(sum(map(len, blocks)), int(room * settings.snippet_share)),
    )
    chosen = _fit_snippets(blocks, shares.snippets)
    prefix = _cut_head(parts.prefix, prefix, shares.prefix, tokenizer)
    suffix = _cut_tail(suffix, shares.suffix, tokenizer)
    # Chosen by rank, laid out by path: a change of rank between keystrokes must not change the first bytes.
    order = sorted(chosen, key=lambda index: (parts.snippets[index].path, index))
    context = [token for index in order for token in blocks[index]]
    before = [*context, *header, *prefix]
    if settings.mode is PromptMode.LEFT_TO_RIGHT:
        ids = before or [*marks.begin, marks.prefix]  # a network must read something
    elif settings.mode is PromptMode.SUFFIX_FIRST:
        ids = [*marks.begin, marks.prefix, *context, marks.suffix, *suffix, marks.middle, *header, *prefix]
    elif settings.fim.order is Order.PSM:
        ids = [*marks.begin, marks.prefix, *before, marks.suffix, *suffix, marks.middle]
    else:
        ids = [*marks.begin, marks.suffix, *suffix, marks.prefix, *before, marks.middle]
    return Prompt(ids=tuple(ids), prefix_ids=tuple(prefix), suffix_ids=tuple(suffix), snippets_used=len(chosen))


def training_ids(
    parts: PromptParts, middle: str, settings: PromptSettings, tokenizer: Tokenizer, *, budget: int
) -> list[int] | None:
    """Return one training sample: the prompt that serving would build, the middle, and the end mark.

    Returns None when the middle and the end mark leave less than half of `budget` tokens for the prompt.
    """
    end = end_ids(settings.fim, tokenizer)[0]
    answer = [*tokenizer.encode(middle), end]
    if len(answer) > budget // 2:
        return None
    if settings.mode.ends_between_tokens:
        whole = replace(parts, prefix=parts.prefix + middle)
        return [*build(whole, settings, tokenizer, budget=budget - 1).ids, end]
    return [*build(parts, settings, tokenizer, budget=budget - len(answer)).ids, *answer]


def end_ids(fim: FimFormat, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids that end a completion: the family's end marks and every mark that opens another part.

    Raises:
        ModelFolderError: the tokenizer knows none of the family's end marks.
    """
    ends = [tokenizer.control_id(mark) for mark in fim.end_marks]
    if all(token is None for token in ends):
        raise ModelFolderError(f"the tokenizer knows none of the end marks {fim.end_marks}")
    others = [tokenizer.control_id(mark) for mark in (fim.prefix_mark, fim.suffix_mark, fim.middle_mark)]
    return tuple(token for token in (*ends, *others) if token is not None)


def path_header(path: str, comment: str) -> str:
    """Return the comment line that stands above a file's text.

    >>> path_header("src/model.py", "#")
    '#src/model.py\\n'
    """
    return f"{comment}{path}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    begin: tuple[int, ...]
    prefix: int
    suffix: int
    middle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shares:
    prefix: int
    suffix: int
    snippets: int


def _mark_ids(fim: FimFormat, tokenizer: Tokenizer) -> _Marks:
    ids = []
    for mark in (fim.prefix_mark, fim.suffix_mark, fim.middle_mark):
        token = tokenizer.control_id(mark)
        if token is None:
            raise ModelFolderError(f"prompt.json says {fim.name!r}, but the tokenizer does not know the mark {mark!r}")
        ids.append(token)
    begin = tokenizer.control_id(fim.begin_of_sequence) if fim.begin_of_sequence else None
    return _Marks(begin=() if begin is None else (begin,), prefix=ids[0], suffix=ids[1], middle=ids[2])


def _share_out(room: int, *, prefix: int, suffix: tuple[int, int], snippets: tuple[int, int]) -> _Shares:
    """Divide `room` tokens; `suffix` and `snippets` are (wanted, share). Room nobody wants stays empty."""
    for_suffix, for_snippets = min(suffix), min(snippets)
    for_prefix = min(prefix, room - for_suffix - for_snippets)
    spare = room - for_prefix - for_suffix - for_snippets
    more = min(spare, suffix[0] - for_suffix)
    for_suffix, spare = for_suffix + more, spare - more
    return _Shares(prefix=for_prefix, suffix=for_suffix, snippets=for_snippets + min(spare, snippets[0] - for_snippets))


def _snippet_blocks(snippets: Sequence[Snippet], tokenizer: Tokenizer) -> list[list[int]]:
    return [
        tokenizer.encode(path_header(snippet.path, snippet.comment) + snippet.text.rstrip("\n") + "\n\n")
        for snippet in snippets
    ]


def _fit_snippets(blocks: Sequence[Sequence[int]], room: int) -> list[int]:
    """Return the indices, in rank, of the snippets that fit whole; one that is too long does not stop the next."""
    chosen = []
    for index, block in enumerate(blocks):
        if len(block) <= room:
            chosen.append(index)
            room -= len(block)
    return chosen


def _encode_until_full(part: Callable[[int], str], available: int, room: int, tokenizer: Tokenizer) -> list[int]:
    """Encode as much of a text as fills `room` tokens, or all of it; `part(length)` is its piece at the cursor."""
    length = room * _CHARACTERS_PER_TOKEN
    while length < available:
        ids = tokenizer.encode(part(length))
        if len(ids) > room:
            return ids
        length *= 2
    return tokenizer.encode(part(available)) if available else []


def _cut_head(text: str, ids: list[int], room: int, tokenizer: Tokenizer) -> list[int]:
    """Return at most `room` of the last tokens of the prefix `text`, from an anchor line on when one is in reach.

    `ids` encode the end of `text`: all of it, or more than `room` tokens.
    """
    if len(ids) <= room:
        return ids
    if room <= 0:
        return []
    kept = ids[-room:]
    window = text[-len(tokenizer.decode(kept)) :]
    first_line = text.count("\n", 0, len(text) - len(window))
    for start in (*_anchors(window, first_line), window.find("\n") + 1):
        if start > len(window) // 2:  # an anchor is not worth half of what fits
            continue
        candidate = tokenizer.encode(window[start:])
        if len(candidate) <= room:  # encoding from another start can take a token more
            return candidate
    return kept


def _anchors(window: str, first_line: int) -> Iterator[int]:
    """Yield where anchor lines start in `window`, whose first characters lie in line `first_line` of the file."""
    position, line = window.find("\n") + 1, first_line + 1
    while position:
        if line % _ANCHOR_LINES == 0:
            yield position
        position, line = window.find("\n", position) + 1, line + 1


def _cut_tail(ids: list[int], room: int, tokenizer: Tokenizer) -> list[int]:
    """Return the first `room` tokens at most of a suffix, up to the end of a line when one is left."""
    if len(ids) <= room:
        return ids
    kept = ids[:room]
    for end in range(len(kept), 0, -1):
        if b"\n" in tokenizer.token_bytes(kept[end - 1]):
            return kept[:end]
    return kept
