"""The contract between training and serving: how a cursor and its snippets become the ids a model reads (no torch).

`build` lays out, for prefix-suffix-middle models:

    [begin of sequence] prefix-mark  snippets  #path/of/file  prefix  suffix-mark  suffix  middle-mark

Every snippet stands under a comment with its path, as DeepSeek-Coder trains (section 2.2 and the released README), and
so does the edited file; families that were trained on several files in another way get theirs (`prompt_files`).
Training appends the middle and the end mark (`training_ids`); both go through `build`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from engine.api import Snippet
from engine.errors import ModelFolderError, PromptError
from engine.fim_formats import FORMATS, FimFormat, Order, by_name, recognise, without_holes
from engine.prompt_files import Introduction, arrange, introduce, path_header
from engine.tokenizer import Vocabulary

__all__ = [
    "Prompt",
    "PromptMode",
    "PromptParts",
    "PromptSettings",
    "build",
    "end_ids",
    "path_header",
    "read_settings",
    "training_ids",
]

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


class TypedText(Enum):
    """Where text goes that was typed since a document's prompt was last laid out, if its suffix stands behind it."""

    PREFIX = "prefix"
    """To the prefix, as in training; all that follows is read anew at every keystroke."""
    MIDDLE = "middle"
    """Behind the middle mark, as the beginning of the middle: nothing is read anew. For models trained on cuts at
    any character."""


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
    typed_text: TypedText = TypedText.PREFIX
    """Matters to `PromptMode.FILL_IN_THE_MIDDLE` alone: in the other modes the prefix comes last."""

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
                typed_text=TypedText(raw.get("typed_text", TypedText.PREFIX.value)),
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
            "typed_text": self.typed_text.value,
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
    repository: str = ""
    """Its name, for families that were trained to see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The ids a model reads, and what became of the parts."""

    ids: tuple[int, ...]
    prefix_ids: tuple[int, ...]
    """The prefix's share of `ids`, without headers."""
    suffix_ids: tuple[int, ...]
    snippets_used: int


def read_settings(folder: Path, tokenizer: Vocabulary, *, context_length: int) -> PromptSettings:
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
    fim = recognise(lambda mark: tokenizer.control_id(mark) is not None, str(folder))
    if fim is not None:
        return PromptSettings(fim=fim, context_length=context_length)
    return _without_holes(folder, tokenizer, context_length)


def build(parts: PromptParts, settings: PromptSettings, tokenizer: Vocabulary, *, budget: int) -> Prompt:
    """Lay out a prompt of at most `budget` tokens.

    The marks are never cut. When not everything fits, suffix and snippets are held to their shares (less when they are
    short: room they leave goes to the others), and the text nearest the cursor is kept longest: the prefix loses its
    head, the suffix its tail, the snippets their last in rank. Cuts fall on line ends wherever a line end is left.

    Raises:
        PromptError: the budget cannot hold the marks and one token.
    """
    marks = _mark_ids(settings.fim, tokenizer)
    room = budget - len(marks.begin) - len(marks.hole) - tokenizer.begins_with_space
    if room < 1:
        raise PromptError(f"a prompt of {budget} tokens cannot hold the marks; ask for fewer new tokens")
    introduction = _introduce(parts, settings.fim, tokenizer, room)
    room -= len(introduction.opening) + len(introduction.own_mark) + len(introduction.own)
    blocks = introduction.blocks
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
    files = arrange(introduction, settings.fim, order)
    begin = [*marks.begin, *files.outside]
    context, own, prefix = _begun([list(files.context), list(files.own), prefix], tokenizer)
    before = [*context, *own, *prefix]
    if settings.mode is PromptMode.LEFT_TO_RIGHT:
        # A network must read something, and one without holes was trained on texts that begin.
        ids = before if before and marks.hole else [*begin, *marks.prefix, *before]
    elif settings.mode is PromptMode.SUFFIX_FIRST:
        ids = [*begin, *marks.prefix, *context, *marks.suffix, *suffix, *marks.middle, *own, *prefix]
    elif settings.fim.order is Order.PSM:
        ids = [*begin, *marks.prefix, *before, *marks.suffix, *suffix, *marks.middle]
    else:
        ids = [*begin, *marks.suffix, *suffix, *marks.prefix, *before, *marks.middle]
    return Prompt(ids=tuple(ids), prefix_ids=tuple(prefix), suffix_ids=tuple(suffix), snippets_used=len(chosen))


def training_ids(
    parts: PromptParts, middle: str, settings: PromptSettings, tokenizer: Vocabulary, *, budget: int
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


def end_ids(fim: FimFormat, tokenizer: Vocabulary) -> tuple[int, ...]:
    """Return the ids that end a completion: the family's end marks and every mark that opens another part.

    Raises:
        ModelFolderError: the tokenizer knows none of the family's end marks.
    """
    ends = [tokenizer.control_id(mark) for mark in (*fim.end_marks, *fim.other_end_marks)]
    if all(token is None for token in ends):
        raise ModelFolderError(f"the tokenizer knows none of the end marks {fim.end_marks}")
    others = [tokenizer.control_id(mark) for mark in fim.hole_marks]
    return tuple(token for token in (*ends, *others) if token is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    """The ids of the marks; empty where a family has none."""

    begin: tuple[int, ...]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    middle: tuple[int, ...]

    @property
    def hole(self) -> tuple[int, ...]:
        return self.prefix + self.suffix + self.middle


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shares:
    prefix: int
    suffix: int
    snippets: int


def _mark_ids(fim: FimFormat, tokenizer: Vocabulary) -> _Marks:
    ids: list[tuple[int, ...]] = []
    for mark in (fim.prefix_mark, fim.suffix_mark, fim.middle_mark):
        token = tokenizer.control_id(mark) if mark else None
        if mark and token is None:
            raise ModelFolderError(f"prompt.json says {fim.name!r}, but the tokenizer does not know the mark {mark!r}")
        ids.append(() if token is None else (token,))
    begin = tokenizer.control_id(fim.begin_of_sequence) if fim.begin_of_sequence else None
    return _Marks(begin=() if begin is None else (begin,), prefix=ids[0], suffix=ids[1], middle=ids[2])


def _without_holes(folder: Path, tokenizer: Vocabulary, context_length: int) -> PromptSettings:
    """Settings for a model that knows no family's marks: any causal model can go on from the left."""
    try:
        raw = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        begin, end = (_mark(raw.get(name)) for name in ("bos_token", "eos_token"))
    except (OSError, ValueError, AttributeError):
        begin = end = None
    if end is None or tokenizer.control_id(end) is None:
        raise ModelFolderError(
            f"{folder} has no prompt.json, its tokenizer knows no fill-in-the-middle marks of "
            f"{', '.join(fim.name for fim in FORMATS)}, and its tokenizer_config.json names no eos_token: "
            "is the download complete?"
        )
    fim = without_holes(end, begin)
    return PromptSettings(fim=fim, context_length=context_length, mode=PromptMode.LEFT_TO_RIGHT)


def _mark(raw: object) -> str | None:
    """Read a token of `tokenizer_config.json`, which is a string or an object with its text."""
    content = raw.get("content") if isinstance(raw, dict) else raw
    return content if isinstance(content, str) and content else None


def _introduce(parts: PromptParts, fim: FimFormat, tokenizer: Vocabulary, room: int) -> Introduction:
    introduction = introduce(
        parts.snippets, fim, tokenizer, repository=parts.repository, path=parts.path, comment=parts.comment
    )
    if len(introduction.opening) + len(introduction.own) > room // 4:
        # A path of hundreds of characters must not push the code out.
        return replace(introduction, opening=(), own=())
    return introduction


def _begun(pieces: Sequence[list[int]], tokenizer: Vocabulary) -> list[list[int]]:
    """Put the space that a tokenizer begins every text with in front of the first piece that has text."""
    begun = list(pieces)
    first = next((index for index, piece in enumerate(pieces) if piece), None)
    if first is not None and tokenizer.begins_with_space:
        text = tokenizer.decode(pieces[first])
        spaced = tokenizer.encode(f" {text}")
        if "\ufffd" not in text and len(spaced) <= len(pieces[first]) + 1:
            begun[first] = spaced
    return begun


def _share_out(room: int, *, prefix: int, suffix: tuple[int, int], snippets: tuple[int, int]) -> _Shares:
    """Divide `room` tokens; `suffix` and `snippets` are (wanted, share). Room nobody wants stays empty."""
    for_suffix, for_snippets = min(suffix), min(snippets)
    for_prefix = min(prefix, room - for_suffix - for_snippets)
    spare = room - for_prefix - for_suffix - for_snippets
    more = min(spare, suffix[0] - for_suffix)
    for_suffix, spare = for_suffix + more, spare - more
    return _Shares(prefix=for_prefix, suffix=for_suffix, snippets=for_snippets + min(spare, snippets[0] - for_snippets))


def _fit_snippets(blocks: Sequence[Sequence[int]], room: int) -> list[int]:
    """Return the indices, in rank, of the snippets that fit whole; one that is too long does not stop the next."""
    chosen = []
    for index, block in enumerate(blocks):
        if len(block) <= room:
            chosen.append(index)
            room -= len(block)
    return chosen


def _encode_until_full(part: Callable[[int], str], available: int, room: int, tokenizer: Vocabulary) -> list[int]:
    """Encode as much of a text as fills `room` tokens, or all of it; `part(length)` is its piece at the cursor."""
    length = room * _CHARACTERS_PER_TOKEN
    while length < available:
        ids = tokenizer.encode(part(length))
        if len(ids) > room:
            return ids
        length *= 2
    return tokenizer.encode(part(available)) if available else []


def _cut_head(text: str, ids: list[int], room: int, tokenizer: Vocabulary) -> list[int]:
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


def _cut_tail(ids: list[int], room: int, tokenizer: Vocabulary) -> list[int]:
    """Return the first `room` tokens at most of a suffix, up to the end of a line when one is left."""
    if len(ids) <= room:
        return ids
    kept = ids[:room]
    for end in range(len(kept), 0, -1):
        if b"\n" in tokenizer.token_bytes(kept[end - 1]):
            return kept[:end]
    return kept
