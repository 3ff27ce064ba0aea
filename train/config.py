"""A run's configuration: a tree of frozen values read from one TOML recipe and `--set` overrides."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from train.errors import RecipeError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What becomes training rows."""

    languages: tuple[str, ...]
    """Names as in `repo_context.languages`."""
    fim_rate: float
    """Share of documents turned into fill-in-the-middle samples (DeepSeek-Coder, section 3.1.2: 0.5)."""
    line_middles: float
    """Share of the middles that are the rest of a line; the others are character-level spans."""
    longest_middle: int
    """Characters; a random span is no longer."""
    row_tokens: int
    """Length of a training row."""
    tokens: int
    """Stop collecting rows at this many tokens."""
    largest_repository: int
    """Bytes; a repository gives no more than this, so that no single one decides what the model writes."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerConfig:
    """The byte-level BPE to train."""

    vocab_size: int
    """Ordinary tokens; the marks come on top."""
    sample_bytes: int
    """Source text read for the merges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network's shape."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    context_length: int
    """Positions the network is built for; at least `data.row_tokens`."""
    rope_theta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """How the network is trained."""

    batch_rows: int
    learning_rate: float
    """Peak; falls to a tenth."""
    warmup_steps: int
    cooldown_share: float
    """Share of the steps, at the end, over which the rate falls linearly (warm-up, stable, decay)."""
    weight_decay: float
    """On matrices; norms have none."""
    clip_norm: float
    precision: str
    """`bfloat16` computes in bf16 with fp32 master weights; `float32` throughout otherwise."""
    compile: bool
    """Compile the step with torch.compile where a C++ compiler is at hand."""
    checkpoint_minutes: float
    """Wall minutes between checkpoints."""
    held_out_rows: int
    """Rows kept back to measure the held-out loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run makes."""

    data: DataConfig
    tokenizer: TokenizerConfig
    model: ModelConfig
    pretrain: PretrainConfig

    def to_json(self) -> dict[str, Any]:
        """Return the tree as plain values, to be saved beside every output."""
        tree: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return tree


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with midfill."""
    folder = resources.files("train") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(recipe: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe by name or path, then apply overrides of the form `section.field=value`.

    Raises:
        RecipeError: no such recipe, or a field or value that does not exist; the message names the closest one.
    """
    tree = _read(recipe)
    for override in overrides:
        _apply(tree, override)
    return _build(RunConfig, tree, "")


def _read(recipe: str) -> dict[str, Any]:
    path = Path(recipe)
    if path.suffix != ".toml":
        if recipe not in recipe_names():
            raise RecipeError(f"there is no recipe {recipe!r}; known: {', '.join(recipe_names())}, or a .toml file")
        text = (resources.files("train") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {recipe} is no valid TOML: {error}") from error


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    section, dot, field = key.strip().partition(".")
    if not (equals and dot):
        raise RecipeError(f"--set takes section.field=value, not {override!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    tree.setdefault(section, {})[field] = parsed


def _build(kind: type[T], raw: Mapping[str, Any], where: str) -> T:
    hints = get_type_hints(kind)
    for name in raw:
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            meant = f"; did you mean {where}{close[0]}?" if close else f"; known: {', '.join(hints)}"
            raise RecipeError(f"the recipe has an unknown field {where}{name}{meant}")
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if name not in raw:
            raise RecipeError(f"the recipe lacks {where}{name}")
        values[name] = _value(hint, raw[name], f"{where}{name}")
    return kind(**values)


def _value(hint: Any, raw: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(raw, Mapping):
            raise RecipeError(f"{where} must be a section of the recipe")
        return _build(hint, raw, f"{where}.")  # type: ignore[arg-type]
    if hint == tuple[str, ...]:
        if not (isinstance(raw, list) and all(isinstance(item, str) for item in raw)):
            raise RecipeError(f"{where} must be a list of strings, not {raw!r}")
        return tuple(raw)
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is not hint:
        raise RecipeError(f"{where} must be a {hint.__name__}, not {raw!r}")
    return raw
