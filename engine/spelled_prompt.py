"""Prompts as text, for servers that have the tokenizer on their side (no torch).

`engine.prompt.build` lays them out as it does ids: here an id is a character, and a mark is one id more.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.fim_formats import FimFormat
from engine.prompt import PromptMode, PromptParts, PromptSettings, build

_FIRST_MARK = 0x110000
"""The ids from here on are marks; those below are Unicode's characters."""
_CHARACTERS_PER_TOKEN = 3
"""Of source text, with the tokenizers in use; a little few, so that budgets hold."""

_PARAMETER = FimFormat(name="parameter", prefix_mark="\0prefix", suffix_mark="\0suffix", middle_mark="", end_marks=())
"""For servers that take prefix and suffix apart; its marks never leave this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpelledPrompt:
    """What goes over the wire."""

    text: str
    suffix: str | None
    """For the field of that name; None where `text` holds the suffix between marks."""
    characters: int
    snippets_used: int

    @property
    def tokens(self) -> int:
        """Estimate the tokens of the prompt."""
        return -(-self.characters // _CHARACTERS_PER_TOKEN)


def spell(parts: PromptParts, fim: FimFormat | None, *, budget: int) -> SpelledPrompt:
    """Lay out a prompt of about `budget` tokens.

    Args:
        parts: marks of the family in the user's text are broken up, so that no server reads them as such.
        fim: the family's marks; None leaves them to the server. What begins a sequence is the server's to add.
        budget: estimated by characters.

    Raises:
        PromptError: the budget cannot hold the marks.
    """
    shown = fim or _PARAMETER
    characters = _Characters(shown)
    mode = PromptMode.FILL_IN_THE_MIDDLE if shown.hole_marks else PromptMode.LEFT_TO_RIGHT
    settings = PromptSettings(fim=shown, context_length=budget, mode=mode)
    prompt = build(parts, settings, characters, budget=budget * _CHARACTERS_PER_TOKEN)
    ids, suffix = list(prompt.ids), None
    if fim is None:
        hole = ids.index(characters.marks[shown.suffix_mark])
        suffix = characters.spell(ids[hole + 1 :])
        ids = ids[1:hole]
    return SpelledPrompt(
        text=characters.spell(ids),
        suffix=suffix,
        characters=len(prompt.ids),
        snippets_used=prompt.snippets_used,
    )


class _Characters:
    """An `engine.tokenizer.Vocabulary` whose tokens are characters and a family's marks."""

    def __init__(self, fim: FimFormat) -> None:
        # Code Llama's own spelling is `<PRE> prefix <SUF>suffix <MID>`: its tokenizer reads these spaces as ▁.
        self.begins_with_space = any(mark.startswith("▁<") for mark in fim.hole_marks)
        marks = [mark for mark in fim.all_marks if mark != fim.begin_of_sequence]
        self.marks = {mark: _FIRST_MARK + index for index, mark in enumerate(marks)}
        self._spelling = {number: mark for mark, number in self.marks.items()}
        self._written = sorted({mark.replace("▁<", "<") for mark in fim.all_marks}, key=len, reverse=True)

    def encode(self, text: str) -> list[int]:
        for mark in self._written:
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return [ord(character) for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(chr(number) for number in ids if number < _FIRST_MARK)

    def token_bytes(self, token_id: int) -> bytes:
        return chr(token_id).encode() if token_id < _FIRST_MARK else b""

    def control_id(self, mark: str) -> int | None:
        return self.marks.get(mark)

    def spell(self, ids: Iterable[int]) -> str:
        """Return the text of ids, marks included."""
        text = "".join(self._spelling.get(number) or chr(number) for number in ids)
        return text.removeprefix("▁").replace("▁<", " <") if self.begins_with_space else text
