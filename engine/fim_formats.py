"""The fill-in-the-middle marks of public model families, as their tokenizers spell them, and the order of the parts.

Sources: the families' papers and model cards (DeepSeek-Coder 2401.14196, Qwen2.5-Coder 2409.12186, StarCoder
2305.06161, StarCoder2 2402.19173, SantaCoder 2301.03988, Code Llama 2308.12950 section 2.3, CodeGemma 2406.11409,
Granite Code 2405.04324, Seed-Coder 2506.03524, Mistral's `mistral-common` for Codestral, JetBrains' card of Mellum).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from engine.errors import PromptError


class Order(Enum):
    """Which part comes first in a fill-in-the-middle prompt (Bavarian et al. 2022, section 3)."""

    PSM = "psm"
    """prefix mark, prefix, suffix mark, suffix, middle mark; then the model writes the middle."""
    SPM = "spm"
    """suffix mark, suffix, prefix mark, prefix, middle mark; then the model writes the middle."""


class OwnPath(Enum):
    """Where the path of the edited file stands in a prompt that names its files."""

    BEFORE_THE_HOLE = "before-the-hole"
    """In front of the first of the three marks."""
    IN_THE_PREFIX = "in-the-prefix"
    """Behind the prefix mark, as the prefix's first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryLayout:
    """How a family was trained to see several files of one repository in a prompt.

    [repository mark, name, `after_repository`] (file mark, path, line end, text, `after_file`)... file mark, own path
    """

    repository_mark: str | None = None
    """A control token; the name follows it."""
    after_repository: str = ""
    file_mark: str | None = None
    """A control token in front of every path; None where paths are introduced by text alone."""
    path_lead: str = ""
    """Text in front of every path."""
    after_file: str = "\n"
    """Text behind every file, whose own last line end is taken off."""
    own_path: OwnPath = OwnPath.BEFORE_THE_HOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class FimFormat:
    """How one model family marks the parts of a prompt."""

    name: str
    prefix_mark: str
    suffix_mark: str
    """Stands before the suffix (DeepSeek calls it the hole)."""
    middle_mark: str
    """Empty where the middle simply goes on behind the prefix (Codestral)."""
    end_marks: tuple[str, ...]
    """Each ends a completion; training puts the first one after the middle."""
    order: Order = Order.PSM
    begin_of_sequence: str | None = None
    """Put at the very start when the tokenizer knows it."""
    other_end_marks: tuple[str, ...] = ()
    """End marks of the family's other tokenizers (instruct models, say): each ends a completion where it is known."""
    end_texts: tuple[str, ...] = ()
    """Ordinary text that ends a completion: how the family introduces another file."""
    repository: RepositoryLayout | None = None
    """None: other files stand in the prefix under comments with their paths, as DeepSeek-Coder trains (section 2.2)."""
    tell_tales: tuple[str, ...] = ()
    """Marks that tell this family from others with the same three: its tokenizer knows all of them."""
    name_hints: tuple[str, ...] = ()
    """Parts of model names; needed where not even the tokenizers differ."""

    @property
    def hole_marks(self) -> tuple[str, ...]:
        """The marks that every prompt with a hole holds."""
        return tuple(mark for mark in (self.prefix_mark, self.suffix_mark, self.middle_mark) if mark)

    @property
    def marks(self) -> tuple[str, ...]:
        """Every mark that a tokenizer of the family must know."""
        begin = (self.begin_of_sequence,) if self.begin_of_sequence else ()
        return (*begin, *self.hole_marks, *self.end_marks)

    @property
    def all_marks(self) -> tuple[str, ...]:
        """Every mark that a tokenizer of the family may know."""
        layout = self.repository or RepositoryLayout()
        more = (*self.other_end_marks, layout.repository_mark, layout.file_mark, *self.tell_tales)
        return tuple(dict.fromkeys(mark for mark in (*self.marks, *more) if mark))


# DeepSeek's marks are written with U+FF5C and U+2581, not with ASCII `|` and `_`.
DEEPSEEK_CODER = FimFormat(
    name="deepseek-coder",
    prefix_mark="<｜fim▁begin｜>",
    suffix_mark="<｜fim▁hole｜>",
    middle_mark="<｜fim▁end｜>",
    end_marks=("<｜end▁of▁sentence｜>",),
    other_end_marks=("<|EOT|>",),
    begin_of_sequence="<｜begin▁of▁sentence｜>",
)

_QWEN_CODER = FimFormat(
    name="qwen2.5-coder",
    prefix_mark="<|fim_prefix|>",
    suffix_mark="<|fim_suffix|>",
    middle_mark="<|fim_middle|>",
    end_marks=("<|endoftext|>", "<|im_end|>", "<|file_sep|>", "<|repo_name|>", "<|fim_pad|>"),
    repository=RepositoryLayout(repository_mark="<|repo_name|>", after_repository="\n", file_mark="<|file_sep|>"),
    tell_tales=("<|repo_name|>", "<|file_sep|>"),
)

# Granite Code and StableCode carry these marks too.
_STARCODER = FimFormat(
    name="starcoder",
    prefix_mark="<fim_prefix>",
    suffix_mark="<fim_suffix>",
    middle_mark="<fim_middle>",
    end_marks=("<|endoftext|>",),
    other_end_marks=("<file_sep>", "<filename>", "<reponame>", "</fim_middle>"),
)

# From the most particular to the most general: the first one that fits a tokenizer is taken.
FORMATS: tuple[FimFormat, ...] = (
    DEEPSEEK_CODER,
    _QWEN_CODER,
    replace(
        _QWEN_CODER,
        name="codegemma",
        end_marks=("<|file_separator|>", "<eos>"),
        other_end_marks=("<end_of_turn>",),
        begin_of_sequence="<bos>",
        repository=None,
        tell_tales=("<|file_separator|>",),
    ),
    replace(
        _QWEN_CODER,
        name="granite-4",
        end_marks=("<|end_of_text|>",),
        repository=None,
        tell_tales=("<|end_of_text|>",),
    ),
    replace(
        _STARCODER,
        name="mellum",
        other_end_marks=("<filename>", "<file_sep>"),
        order=Order.SPM,
        repository=RepositoryLayout(file_mark="<filename>"),
        tell_tales=("<filename>",),
        name_hints=("mellum",),
    ),
    replace(
        _STARCODER,
        name="starcoder2",
        end_marks=("<|endoftext|>", "<file_sep>"),
        other_end_marks=("<repo_name>",),
        repository=RepositoryLayout(
            repository_mark="<repo_name>", file_mark="<file_sep>", own_path=OwnPath.IN_THE_PREFIX
        ),
        tell_tales=("<file_sep>", "<repo_name>"),
    ),
    _STARCODER,
    FimFormat(
        name="santacoder",
        prefix_mark="<fim-prefix>",
        suffix_mark="<fim-suffix>",
        middle_mark="<fim-middle>",
        end_marks=("<|endoftext|>",),
    ),
    FimFormat(
        name="code-llama",
        prefix_mark="▁<PRE>",
        suffix_mark="▁<SUF>",
        middle_mark="▁<MID>",
        end_marks=("▁<EOT>",),
        other_end_marks=("</s>",),
        begin_of_sequence="<s>",
    ),
    FimFormat(
        name="codestral",
        prefix_mark="[PREFIX]",
        suffix_mark="[SUFFIX]",
        middle_mark="",
        end_marks=("</s>",),
        order=Order.SPM,
        begin_of_sequence="<s>",
        end_texts=("\n+++++ ",),
        repository=RepositoryLayout(path_lead="+++++ ", after_file="\n\n", own_path=OwnPath.IN_THE_PREFIX),
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
    raise PromptError(f"unknown fill-in-the-middle format {name!r}; known: {known}")


def recognise(knows: Callable[[str], bool], name: str) -> FimFormat | None:
    """Return the family of a model, or None when its tokenizer knows no family's marks.

    Args:
        knows: whether the model's tokenizer has a control token of that spelling.
        name: of the model or its folder; some families can be told apart by nothing else.
    """
    lowered = name.lower()
    for candidate in FORMATS:
        hinted = not candidate.name_hints or any(hint in lowered for hint in candidate.name_hints)
        if hinted and all(map(knows, (*candidate.hole_marks, *candidate.tell_tales))):
            return candidate
    return None


_MODEL_NAMES = (
    ("deepseek", "deepseek-coder"),
    ("codeqwen", "qwen2.5-coder"),
    ("qwen", "qwen2.5-coder"),
    ("starcoder2", "starcoder2"),
    ("starcoder", "starcoder"),
    ("stable-code", "starcoder"),
    ("granite-4", "granite-4"),
    ("granite4", "granite-4"),
    ("granite", "starcoder"),
    ("santacoder", "santacoder"),
    ("codellama", "code-llama"),
    ("code-llama", "code-llama"),
    ("codegemma", "codegemma"),
    ("codestral", "codestral"),
    ("seed-coder", "seed-coder"),
    ("mellum", "mellum"),
)


def by_model_name(name: str) -> FimFormat | None:
    """Guess the family of a model by its name alone, as servers call it; None where no name is known."""
    lowered = name.lower()
    return next((by_name(family) for part, family in _MODEL_NAMES if part in lowered), None)


def without_holes(end_mark: str, begin_of_sequence: str | None) -> FimFormat:
    """Return the format of a model that was never trained on holes: it is read left to right."""
    return FimFormat(
        name="none",
        prefix_mark="",
        suffix_mark="",
        middle_mark="",
        end_marks=(end_mark,),
        begin_of_sequence=begin_of_sequence,
    )
