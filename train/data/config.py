"""How source becomes clean training data: the options of the data steps, with the paper's choices as defaults."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What becomes training rows."""

    languages: tuple[str, ...]
    """Names as in `repo_context.languages`."""
    fim_rate: float
    """Share of documents turned into fill-in-the-middle samples (DeepSeek-Coder, section 3.1.2: 0.5)."""
    fim_level: Literal["document", "context"] = "document"
    """Where holes are cut: in documents before packing (the paper), or in the pieces of packed rows (Bavarian)."""
    fim_order: Literal["psm", "spm", "joint"] = "psm"
    """Prefix, suffix, middle (the paper); suffix, then prefix and middle as one text (Code Llama's SPM,
    `PromptMode.SUFFIX_FIRST`); or either with equal chance, served as the first."""
    middles: Literal["lines", "characters", "syntax"] = "lines"
    """`characters`: two uniform cuts (Bavarian et al.); `lines`: the rest of a line for `line_middles` of the holes,
    else characters; `syntax`: likewise, else a node of the syntax tree."""
    snippets: Literal["none", "repository"] = "none"
    """`repository`: in front of a hole stands what serving would put there, from the repository without the file."""
    line_middles: float
    """Share of the middles that are the rest of a line, unless `middles` is `characters`."""
    longest_middle: int
    """Characters; a random span is no longer."""
    row_tokens: int
    """Length of a training row."""
    document_masks: Literal["none", "documents"] = "none"
    """`documents`: a token sees only those of its own sample in the row; `none`: all that stand before it."""
    tokens: int
    """Stop collecting rows at this many tokens."""
    largest_repository: int
    """Bytes; a repository gives no more than this, so that no single one decides what the model writes."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanConfig:
    """Which documents are kept; a recipe's `[clean]` section."""

    licences: tuple[str, ...] = ()
    """SPDX identifiers that are allowed, or `permissive`; none: files are not judged by licence."""
    generated: Literal["keep", "drop"] = "drop"
    vendored: Literal["keep", "drop"] = "drop"
    near_duplicates: tuple[str, ...] = ("files", "repositories")
    """What is compared beyond exact copies of files: `repositories` (the paper), `files` (OpenCoder), both, nothing."""
    similarity: float = 0.7
    """Jaccard similarity of word 5-grams from which texts are near-duplicates."""
    screening: Literal["syntax_and_readability", "none"] = "syntax_and_readability"
    quality_model: str = ""
    """`module:function` from a `SourceDocument` to a number; empty: none."""
    least_quality: float = 0.0
    """Documents that the quality model scores lower are dropped."""
    benchmarks: tuple[str, ...] = ()
    """Files or folders of benchmark text to keep out: `PATH` or `PATH:field,field`."""
    order: Literal["dependencies", "random"] = "dependencies"
    """`dependencies`: files that hang together stay together, in the order of their imports; `random`: each alone."""
    buckets: int = 64
    """Parts that the work is divided into, each read into memory as a whole; the kept set does not depend on it."""
