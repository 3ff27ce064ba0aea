"""A run's configuration: a tree of frozen values read from one TOML recipe and `--set` overrides."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from engine.model.balance import BalanceSettings
from engine.model.config import ExpertsConfig, LatentAttentionConfig, TransformerConfig, YarnConfig
from train.data.config import CleanConfig, DataConfig
from train.errors import RecipeError

T = TypeVar("T")

_CLEAN = CleanConfig()
"""The paper's choices, for recipes without a `[clean]` section."""


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
    tie_word_embeddings: bool
    """One matrix embeds tokens and scores them; the DeepSeek-Coder sizes have two."""
    latent_attention: LatentAttentionConfig | None = None
    """DeepSeek-V2's attention, whose heads are `qk_nope_head_dim` + `qk_rope_head_dim` wide."""
    experts: ExpertsConfig | None = None
    """DeepSeek-V2's experts."""
    initializer_range: float = 0.02
    """Standard deviation of the untrained weights."""

    def network(self, tokens: int) -> TransformerConfig:
        """Return the network of this shape over so many tokens; end marks are the tokenizer's to add."""
        return TransformerConfig(
            vocab_size=-(-tokens // 64) * 64,  # whole vectors for the output layer
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            max_position_embeddings=self.context_length,
            rope_theta=self.rope_theta,
            tie_word_embeddings=self.tie_word_embeddings,
            latent_attention=self.latent_attention,
            experts=self.experts,
            initializer_range=self.initializer_range,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """How training runs on the machines at hand; but for rounding, none of it changes what is learned."""

    precision: Literal["bfloat16", "float32"]
    """`bfloat16` computes in bf16 and keeps fp32 weights beside; `float32` throughout otherwise."""
    compile: bool
    """Compile the step with torch.compile where a C++ compiler is at hand."""
    parallel: Literal["ddp", "fsdp", "deepspeed"]
    """How several processes share the work: whole copies, FSDP2 shards, or DeepSpeed ZeRO-3. One process needs none."""
    gradient_checkpointing: bool
    """Keep only each layer's input, and compute the loss in pieces: less memory for a third more computation."""
    micro_batch_tokens: int
    """Most tokens in one forward pass of one process; gradients accumulate over the batch. 0: the batch is one pass."""
    checkpoint_minutes: float
    """Wall minutes between checkpoints."""
    keep_checkpoints: int
    """The newest ones that stay on disk."""
    expert_parallel: int = 1
    """Processes that hold a layer's routed experts together, each a part; 1: every process has all of them."""
    tensor_parallel: int = 1
    """Processes that hold one copy of the layers together, each some heads and a part of the width; 1: no cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """How the network is trained on rows of text."""

    tokens: int
    """Tokens to train on, passing over the rows as often as that takes; 0: each row once."""
    batch_rows: int
    """Rows in one step, over all processes."""
    learning_rate: float
    """Peak."""
    schedule: Literal["three_step", "cosine", "wsd", "constant"]
    warmup_steps: int
    cooldown_share: float
    """Of `wsd` alone: share of the steps, at the end, over which the rate falls linearly."""
    optimizer: Literal["adamw", "muon"]
    weight_decay: float
    """On matrices; norms have none."""
    clip_norm: float
    spike_sigmas: float
    """A step whose loss lies this many standard deviations above the recent mean is skipped; 0: never."""
    held_out_rows: int
    """Rows kept back to measure the held-out loss."""
    balance: BalanceSettings | None = None
    """What pulls experts towards equal work; also while the context is extended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendContextConfig:
    """How the finished network learns to read further (DeepSeek-Coder, section 3.6)."""

    rope_theta: float
    """The new base frequency."""
    rope_factor: float
    """Positions are divided by this."""
    row_tokens: int
    """The new context length."""
    batch_rows: int
    steps: int
    held_out_rows: int
    yarn: YarnConfig | None = None
    """Stretches positions by parts in place of `rope_theta` and `rope_factor`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructConfig:
    """How the network learns to follow instructions (DeepSeek-Coder, section 3.7)."""

    learning_rate: float
    """Peak of a cosine that ends at zero."""
    warmup_steps: int
    batch_rows: int
    row_tokens: int
    """Longer conversations lose their end."""
    passes: int
    """Times that every conversation is read."""
    template: Literal["deepseek-coder", "deepseek-coder-v2"] = "deepseek-coder"
    """How a conversation is laid out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelConfig:
    """How a copy of the instruct model learns to tell answers that pass their tests from those that do not."""

    learning_rate: float
    """Peak of a cosine that ends at zero."""
    warmup_steps: int
    answers_per_prompt: int
    """Drawn for each task, to be run and paired."""
    pairs_per_prompt: int
    """Most pairs of one task."""
    batch_pairs: int
    passes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignConfig:
    """How the instruct model practises on tasks with tests (GRPO; DeepSeek-V2, equations 32 to 34)."""

    learning_rate: float
    """Constant."""
    steps: int
    prompts_per_step: int
    """Over all processes; must divide among them."""
    answers_per_prompt: int
    """Of one group (G)."""
    max_tokens: int
    """Of an answer."""
    variant: Literal["token", "sequence"]
    """Whether ratios are clipped token by token, as in DeepSeekMath, or for whole answers, as DeepSeek-V2 prints it."""
    clip: float
    """How far the ratio of probabilities may leave 1 and still be rewarded (ε)."""
    kl: float
    """Weight of the divergence from the instruct model (β)."""
    updates: int = 1
    """Steps taken on the same answers (μ)."""
    reward: Literal["tests", "model"] = "tests"
    """`tests`: the share of tests that pass; `model`: the reward model's score."""
    compile_reward: float = 0.1
    """Of an answer that compiles and passes no test; one that passes them all gets 1."""
    sampler: Literal["engine", "vllm"] = "engine"
    """What draws the answers: midfill's own network with its cache, or vLLM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """How a run ends: its model is measured, and shown at work in the engine."""

    suites: tuple[str, ...]
    """As `midfill train evaluate` names them: `NAME`, on `repository`, or `NAME=DATA`."""
    repository: str = ""
    """A folder of source that was not trained on; empty: midfill's own training code."""
    holes: int = 100
    """Drawn by the suites that cut holes into a repository."""
    limit: int | None = None
    """Most tasks of each suite, spread evenly over it."""
    completions: int = 3
    """Lines of the repository that the engine completes, to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueConfig:
    """How a finished network goes on with a mix of sources, next-token only (DeepSeek-Coder, section 5)."""

    mixture: dict[str, float]
    """Share of the rows by the name of their source; only the proportions count."""
    row_tokens: int
    tokens: int
    batch_rows: int
    learning_rate: float
    """Peak."""
    schedule: Literal["three_step", "cosine", "constant"]
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    spike_sigmas: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuedRunConfig:
    """Everything that decides what continued pretraining makes of a model."""

    machine: MachineConfig
    continue_pretraining: ContinueConfig

    def to_json(self) -> dict[str, Any]:
        """Return the tree as plain values, to be saved beside every output."""
        tree: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return tree


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run makes."""

    data: DataConfig
    clean: CleanConfig = _CLEAN
    tokenizer: TokenizerConfig
    model: ModelConfig
    machine: MachineConfig
    pretrain: PretrainConfig
    extend_context: ExtendContextConfig | None
    """A recipe without this section keeps the context it was pretrained with."""
    extend_further: ExtendContextConfig | None = None
    """A second extension after the first."""
    instruct: InstructConfig | None
    """A recipe without this section makes a base model only."""
    reward_model: RewardModelConfig | None = None
    """Needed where `align.reward` is `model`."""
    align: AlignConfig | None = None
    """A recipe without this section leaves the instruct model as it is."""
    evaluate: EvaluateConfig | None = None
    """A recipe without this section ends with its models."""

    def to_json(self) -> dict[str, Any]:
        """Return the tree as plain values, to be saved beside every output."""
        tree: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return tree


def recipe_names() -> list[str]:
    """Return the names of the recipes of whole runs that come with midfill."""
    return _names(_RECIPES)


def continued_recipe_names() -> list[str]:
    """Return the names of the recipes that go on with a finished model."""
    return _names(_CONTINUED)


def load(recipe: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe by name or path, then apply overrides of the form `section.field=value`.

    Raises:
        RecipeError: no such recipe, or a field or value that does not exist; the message names the closest one.
    """
    return _load(RunConfig, recipe, overrides, _RECIPES)


def from_json(tree: Mapping[str, Any]) -> RunConfig:
    """Return what `to_json` gave, now or in an earlier version: fields that it lacks take their defaults.

    Raises:
        RecipeError: it holds a field or a value that does not exist.
    """
    return _build(RunConfig, _without_nothing(tree), "")


def load_continued(recipe: str, overrides: Sequence[str] = ()) -> ContinuedRunConfig:
    """Read a recipe that goes on with a finished model; see `load`."""
    return _load(ContinuedRunConfig, recipe, overrides, _CONTINUED)


_RECIPES = "recipes"
_CONTINUED = "recipes/continued"


def _load(kind: type[T], recipe: str, overrides: Sequence[str], folder: str) -> T:
    tree = _read(recipe, folder)
    for override in overrides:
        _apply(tree, override)
    return _build(kind, tree, "")


def _without_nothing(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in tree.items()
        if value is not None
    }


def _names(folder: str) -> list[str]:
    entries = (resources.files("train") / folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def _read(recipe: str, folder: str) -> dict[str, Any]:
    path = Path(recipe)
    if path.suffix != ".toml":
        known = _names(folder)
        if recipe not in known:
            raise RecipeError(f"there is no recipe {recipe!r}; known: {', '.join(known)}, or a .toml file")
        text = (resources.files("train") / folder / f"{recipe}.toml").read_text(encoding="utf-8")
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
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if name not in raw and get_origin(hint) is UnionType:
            values[name] = None
            continue
        if name not in raw and defaults.get(name, dataclasses.MISSING) is not dataclasses.MISSING:
            continue
        if name not in raw:
            raise RecipeError(f"the recipe lacks {where}{name}")
        values[name] = _value(hint, raw[name], f"{where}{name}")
    return kind(**values)


def _value(hint: Any, raw: Any, where: str) -> Any:
    if get_origin(hint) is UnionType:
        return _value(get_args(hint)[0], raw, where)
    if get_origin(hint) is Literal:
        if raw not in get_args(hint):
            raise RecipeError(f"{where} must be one of {', '.join(get_args(hint))}, not {raw!r}")
        return raw
    if dataclasses.is_dataclass(hint):
        if not isinstance(raw, Mapping):
            raise RecipeError(f"{where} must be a section of the recipe")
        return _build(hint, raw, f"{where}.")  # type: ignore[arg-type]
    if hint == dict[str, float]:
        if not (isinstance(raw, Mapping) and raw and all(type(item) in (int, float) for item in raw.values())):
            raise RecipeError(f"{where} must give a number for each name, not {raw!r}")
        return {name: float(item) for name, item in raw.items()}
    if hint == tuple[str, ...]:
        if not (isinstance(raw, list) and all(isinstance(item, str) for item in raw)):
            raise RecipeError(f"{where} must be a list of strings, not {raw!r}")
        return tuple(raw)
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is not hint:
        raise RecipeError(f"{where} must be a {hint.__name__}, not {raw!r}")
    return raw
