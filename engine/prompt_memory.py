"""Remembers how each document's last prompt was laid out, and lays the next one out alike: what stays is not read anew.

While snippets and suffix stay (or the suffix barely changes, as when a bracket is closed by the editor, or is not read
at all), the new prompt is the old one with more, or less, of the prefix at its end. For prompts whose suffix comes
last, `TypedText.MIDDLE` puts what was typed since behind the middle mark, as the beginning of the middle (EFIM, arXiv
2505.21889).
"""

from collections import OrderedDict
from dataclasses import dataclass, replace

from engine.prompt import Prompt, PromptMode, PromptParts, PromptSettings, TypedText, build
from engine.tokenizer import Vocabulary

_DOCUMENTS = 64
_LONGEST_TYPED = 64
"""Tokens that may stand behind the middle mark before the prompt is laid out anew."""
_SLACK = 8
"""A prompt that has become too long is cut to leave this part of its room free, so that it is not cut again at once."""
_LEAST = 2
"""A prompt whose prefix was cut, and of which less than this part of its room is left, is laid out anew: whoever moved
up or deleted has more text in front of the cursor than it shows."""
_CHANGED = 0.1
"""Part of a suffix that may have changed while the old one goes on being used (Copilot's threshold)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    parts: PromptParts
    prompt: Prompt
    start: int
    """Where in the prefix its part of the prompt begins."""


class PromptMemory:
    """Builds the prompts of many documents."""

    def __init__(self, settings: PromptSettings, tokenizer: Vocabulary) -> None:
        """Build as a model wants it."""
        self._settings = settings
        self._tokenizer = tokenizer
        self._layouts: OrderedDict[str, _Layout] = OrderedDict()

    def build(self, document: str, parts: PromptParts, *, budget: int) -> Prompt:
        """Lay out a prompt of at most `budget` tokens; see `engine.prompt.build`.

        Raises:
            PromptError: the budget cannot hold the marks and one token.
        """
        layout = self._layouts.get(document)
        if layout is None or not self._goes_on(layout.parts, parts):
            return self._anew(document, parts, budget)
        prompt = self._extend(layout, parts, budget)
        if prompt is not None:
            self._layouts.move_to_end(document)
            return prompt
        return self._anew(document, parts, budget, room=budget - budget // _SLACK)

    def _anew(self, document: str, parts: PromptParts, budget: int, *, room: int | None = None) -> Prompt:
        prompt = build(parts, self._settings, self._tokenizer, budget=room or budget)
        text = self._tokenizer.decode(prompt.prefix_ids)
        self._layouts.pop(document, None)
        if text and parts.prefix.endswith(text):
            start = len(parts.prefix) - len(text)
            self._layouts[document] = _Layout(parts=parts, prompt=prompt, start=start)
        if len(self._layouts) > _DOCUMENTS:
            self._layouts.popitem(last=False)
        return prompt

    def _extend(self, layout: _Layout, parts: PromptParts, budget: int) -> Prompt | None:
        """Return the same layout with the new prefix; None where it must be laid out anew."""
        old = layout.prompt
        if self._settings.mode is PromptMode.FILL_IN_THE_MIDDLE:
            if self._settings.typed_text is TypedText.PREFIX:
                return None
            typed = self._tokenizer.encode(parts.prefix.removeprefix(layout.parts.prefix))
            fits = len(typed) <= _LONGEST_TYPED and len(old.ids) + len(typed) <= budget
            is_extension = parts.prefix.startswith(layout.parts.prefix)
            return replace(old, ids=(*old.ids, *typed)) if fits and is_extension else None
        kept = parts.prefix[layout.start :]
        if parts.prefix[: layout.start] != layout.parts.prefix[: layout.start] or not kept:
            return None
        prefix = tuple(self._tokenizer.encode(kept))
        ids = (*old.ids[: len(old.ids) - len(old.prefix_ids)], *prefix)
        fits = len(ids) <= budget and (not layout.start or len(ids) > budget // _LEAST)
        return replace(old, ids=ids, prefix_ids=prefix) if fits else None

    def _goes_on(self, old: PromptParts, parts: PromptParts) -> bool:
        """Whether a prompt may keep everything but its prefix."""
        if (old.path, old.comment, old.repository) != (parts.path, parts.comment, parts.repository):
            return False
        if [(piece.path, piece.text) for piece in old.snippets] != [
            (piece.path, piece.text) for piece in parts.snippets
        ]:
            return False
        return self._settings.mode is PromptMode.LEFT_TO_RIGHT or _barely_changed(old.suffix, parts.suffix)


def _barely_changed(old: str, new: str) -> bool:
    """Whether a suffix begins alike and differs in a tenth at most."""
    if old == new:
        return True
    longest, shortest = max(len(old), len(new)), min(len(old), len(new))
    if longest - shortest > _CHANGED * longest or old[:1] != new[:1]:
        return False
    head = next((index for index in range(shortest) if old[index] != new[index]), shortest)
    tail = next((index for index in range(shortest - head) if old[-1 - index] != new[-1 - index]), shortest - head)
    return longest - head - tail <= _CHANGED * longest
