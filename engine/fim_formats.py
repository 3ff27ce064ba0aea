"""The fill-in-the-middle marks of public model families, as their tokenizers spell them."""

from dataclasses import dataclass
from enum import Enum

from engine.errors import PromptError


class Order(Enum):
    """Which part comes first in a fill-in-the-middle prompt (Bavarian et al. 2022, section 3)."""

    PSM = "psm"
    """prefix mark, prefix, suffix mark, suffix, middle mark; then the model writes the middle."""
    SPM = "spm"
    """suffix mark, suffix, prefix mark, prefix, middle mark; then the model writes the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FimFormat:
    """How one model family marks the parts of a prompt."""

    name: str
    prefix_mark: str
    suffix_mark: str
    """Stands before the suffix (DeepSeek calls it the hole)."""
    middle_mark: str
    end_marks: tuple[str, ...]
    """Each ends a completion; training puts the first one after the middle."""
    order: Order = Order.PSM
    begin_of_sequence: str | None = None
    """Put at the very start when the tokenizer knows it."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Every mark of the family."""
        begin = (self.begin_of_sequence,) if self.begin_of_sequence else ()
        return (*begin, self.prefix_mark, self.suffix_mark, self.middle_mark, *self.end_marks)


# DeepSeek's marks are written with U+FF5C and U+2581, not with ASCII `|` and `_`.
DEEPSEEK_CODER = FimFormat(
    name="deepseek-coder",
    prefix_mark="<｜fim▁begin｜>",
    suffix_mark="<｜fim▁hole｜>",
    middle_mark="<｜fim▁end｜>",
    end_marks=("<｜end▁of▁sentence｜>",),
    begin_of_sequence="<｜begin▁of▁sentence｜>",
)

FORMATS: tuple[FimFormat, ...] = (
    DEEPSEEK_CODER,
    FimFormat(
        name="qwen2.5-coder",
        prefix_mark="<|fim_prefix|>",
        suffix_mark="<|fim_suffix|>",
        middle_mark="<|fim_middle|>",
        end_marks=("<|endoftext|>", "<|im_end|>", "<|file_sep|>", "<|repo_name|>", "<|fim_pad|>"),
    ),
    FimFormat(
        name="starcoder",
        prefix_mark="<fim_prefix>",
        suffix_mark="<fim_suffix>",
        middle_mark="<fim_middle>",
        end_marks=("<|endoftext|>", "<file_sep>"),
    ),
    FimFormat(
        name="santacoder",
        prefix_mark="<fim-prefix>",
        suffix_mark="<fim-suffix>",
        middle_mark="<fim-middle>",
        end_marks=("<|endoftext|>",),
    ),
    FimFormat(
        name="seed-coder",
        prefix_mark="<[fim-prefix]>",
        suffix_mark="<[fim-suffix]>",
        middle_mark="<[fim-middle]>",
        end_marks=("<[end▁of▁sentence]>",),
        order=Order.SPM,
        begin_of_sequence="<[begin▁of▁sentence]>",
    ),
)


def by_name(name: str) -> FimFormat:
    """Return the format called `name`.

    Raises:
        PromptError: there is none; the message lists those there are.
    """
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in FORMATS)
    raise PromptError(f"unknown fill-in-the-middle format {name!r} in prompt.json; known: {known}")
