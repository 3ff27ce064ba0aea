"""The shape of the network, read from and written as a Hugging Face `config.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import ModelFolderError, UnsupportedShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttentionConfig:
    """Multi-head latent attention (DeepSeek-V2, section 2.1); field names are the checkpoint format's own."""

    q_lora_rank: int | None
    """Width of the compressed queries; None where queries are projected at once (Lite)."""
    kv_lora_rank: int
    """Width of the latent that keys and values are made of, and that the cache holds."""
    qk_nope_head_dim: int
    """Width of a head's query and key without positions."""
    qk_rope_head_dim: int
    """Width of the rotated part, whose key all heads share."""
    v_head_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsConfig:
    """Shared and routed experts in place of the feed-forward block (DeepSeek-V2, section 2.2)."""

    n_routed_experts: int
    n_shared_experts: int
    """Read by every token; stored as one block of so many times the width of an expert."""
    num_experts_per_tok: int
    """Routed experts that a token is sent to."""
    moe_intermediate_size: int
    """Width of one expert."""
    routed_scaling_factor: float = 1.0
    """What the affinities of the chosen experts are multiplied by; they are not made to add up to 1."""
    n_group: int = 1
    """Groups of experts with neighbouring numbers, one on each device."""
    topk_group: int = 1
    """Groups that a token's experts may come from: those with the highest affinities."""
    first_k_dense_replace: int = 0
    """Layers at the bottom that keep an ordinary feed-forward block."""
    moe_layer_freq: int = 1
    """Of the others, those divisible by this have experts."""

    def __post_init__(self) -> None:
        """Refuse routing that cannot be done.

        Raises:
            ModelFolderError: experts do not divide into groups, or a token cannot be sent to as many as it should be.
        """
        if self.n_routed_experts % self.n_group:
            raise ModelFolderError(
                f"config: {self.n_routed_experts} experts do not divide into {self.n_group} groups of equal size"
            )
        reachable = self.n_routed_experts // self.n_group * self.topk_group
        if not (0 < self.topk_group <= self.n_group and 0 < self.num_experts_per_tok <= reachable):
            raise ModelFolderError(
                f"config: {self.num_experts_per_tok} experts per token cannot be chosen from {self.topk_group} of "
                f"{self.n_group} groups of {self.n_routed_experts // self.n_group}"
            )

    def in_layer(self, layer: int) -> bool:
        """Whether this layer has experts."""
        return layer >= self.first_k_dense_replace and layer % self.moe_layer_freq == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnConfig:
    """Rotary positions stretched by parts (YaRN, arXiv 2309.00071; DeepSeek-V2, section 3.1.4)."""

    factor: float
    """How many times longer texts become (the paper's s)."""
    original_max_position_embeddings: int
    """Tokens of the texts that were read before (L)."""
    beta_fast: float = 32.0
    """Pairs that turn at least so often within L keep their angles (the papers' beta)."""
    beta_slow: float = 1.0
    """Pairs that turn at most so often turn by `factor` slower (the papers' alpha)."""
    mscale: float = 1.0
    mscale_all_dim: float = 0.0
    """Both set how much sharper attention becomes; see `engine.model.rotary`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """The shape of Llama, Qwen2 or DeepSeek-V2 checkpoints; field names are the checkpoint format's own."""

    vocab_size: int
    """Rows of the embedding, padding rows included."""
    hidden_size: int
    intermediate_size: int
    """Width of the SwiGLU block."""
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    """Equal to `num_attention_heads` for MHA, a divisor of it for GQA, 1 for MQA."""
    head_dim: int
    """Width of a head's query and key; with latent attention both parts of it together."""
    max_position_embeddings: int
    """Longest sequence in tokens, prompt and completion together."""
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_factor: float = 1.0
    """Linear position scaling: position m turns by m / factor (DeepSeek-Coder, section 3.6)."""
    yarn: YarnConfig | None = None
    latent_attention: LatentAttentionConfig | None = None
    """None: grouped-query attention."""
    experts: ExpertsConfig | None = None
    """None: every layer has an ordinary feed-forward block."""
    tie_word_embeddings: bool = False
    query_key_value_bias: bool = False
    """Whether these three projections add a bias: Qwen2's do, and only those."""
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built.

        Raises:
            ModelFolderError: heads do not divide into key/value heads, a head has an odd width, or parts contradict
                each other.
        """
        if self.num_attention_heads % self.num_key_value_heads:
            raise ModelFolderError(
                f"config: {self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key/value heads; the first must be a multiple of the second"
            )
        if self.rotary_width % 2:
            raise ModelFolderError(f"config: head_dim {self.rotary_width} is odd; rotary positions turn pairs")
        if self.yarn is not None and self.rope_factor != 1.0:
            raise ModelFolderError("config: positions are scaled either by YaRN or linearly, not by both")
        latent = self.latent_attention
        if latent is not None and self.head_dim != latent.qk_nope_head_dim + latent.qk_rope_head_dim:
            raise ModelFolderError("config: head_dim must be qk_nope_head_dim + qk_rope_head_dim")
        if latent is None and self.experts is not None:
            raise ModelFolderError("config: experts come with latent attention; no checkpoint format has them alone")

    @property
    def rotary_width(self) -> int:
        """Numbers of a head's query or key that positions rotate."""
        return self.head_dim if self.latent_attention is None else self.latent_attention.qk_rope_head_dim

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """What a layer keeps of a token: heads, width of each key and width of each value.

        Latent attention keeps one key for all heads, the latent and its rotated part; the latent is its value too.
        """
        latent = self.latent_attention
        if latent is not None:
            return 1, latent.kv_lora_rank + latent.qk_rope_head_dim, 0
        return self.num_key_value_heads, self.head_dim, self.head_dim

    @property
    def cache_numbers_per_token(self) -> int:
        """Numbers that all layers together keep of a token."""
        heads, key_width, value_width = self.cache_shape
        return self.num_hidden_layers * heads * (key_width + value_width)

    @property
    def expert_layers(self) -> tuple[int, ...]:
        """The layers with experts."""
        experts = self.experts
        return () if experts is None else tuple(filter(experts.in_layer, range(self.num_hidden_layers)))

    @classmethod
    def from_hugging_face(cls, raw: Mapping[str, Any]) -> "TransformerConfig":
        """Read the fields of a `config.json`, as transformers 4 (`rope_scaling`) or 5 (`rope_parameters`) writes it.

        Raises:
            UnsupportedShapeError: another architecture or an unsupported variant.
            ModelFolderError: a missing or senseless field.
        """
        _refuse_unsupported(raw)
        try:
            heads = int(raw["num_attention_heads"])
            theta, factor, yarn = _rope(raw)
            latent = _latent_attention(raw)
            head_dim = int(raw.get("head_dim") or int(raw["hidden_size"]) // heads)
            return cls(
                vocab_size=int(raw["vocab_size"]),
                hidden_size=int(raw["hidden_size"]),
                intermediate_size=int(raw["intermediate_size"]),
                num_hidden_layers=int(raw["num_hidden_layers"]),
                num_attention_heads=heads,
                num_key_value_heads=int(raw.get("num_key_value_heads") or heads),
                head_dim=latent.qk_nope_head_dim + latent.qk_rope_head_dim if latent else head_dim,
                max_position_embeddings=int(raw["max_position_embeddings"]),
                rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
                rope_theta=theta,
                rope_factor=factor,
                yarn=yarn,
                latent_attention=latent,
                experts=_experts(raw),
                tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
                query_key_value_bias=raw.get("model_type") == "qwen2",
                initializer_range=float(raw.get("initializer_range", 0.02)),
                bos_token_id=_first_id(raw.get("bos_token_id")),
                eos_token_id=_first_id(raw.get("eos_token_id")),
            )
        except KeyError as error:
            raise ModelFolderError(f"config.json has no {error.args[0]!r}; is the download complete?") from error
        except (TypeError, ValueError) as error:
            raise ModelFolderError(f"config.json holds a value of the wrong type: {error}") from error

    def to_hugging_face(self) -> dict[str, Any]:
        """Return the `config.json` that transformers (4 and 5), vLLM and llama.cpp's converter read."""
        rope, scaling = self._stored_rope()
        stored = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "rope_parameters": rope,
            "tie_word_embeddings": self.tie_word_embeddings,
            "initializer_range": self.initializer_range,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": self.eos_token_id,
            "use_cache": True,
        }
        if self.query_key_value_bias:
            stored |= {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "use_sliding_window": False}
        return stored if self.latent_attention is None else stored | self._stored_as_v2(self.latent_attention)

    def _stored_rope(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return what transformers 5 calls `rope_parameters` and what it called `rope_scaling` before."""
        rope: dict[str, Any] = {"rope_theta": self.rope_theta}
        if self.yarn is not None:
            scaling = {"type": "yarn", "rope_type": "yarn", **asdict(self.yarn)}
        elif self.rope_factor != 1.0:
            scaling = {"type": "linear", "rope_type": "linear", "factor": self.rope_factor}
        else:
            return rope | {"rope_type": "default"}, None
        return rope | {name: value for name, value in scaling.items() if name != "type"}, scaling

    def _stored_as_v2(self, latent: LatentAttentionConfig) -> dict[str, Any]:
        stored: dict[str, Any] = {
            "architectures": ["DeepseekV2ForCausalLM"],
            "model_type": "deepseek_v2",
            # What transformers calls so is the rotated part alone.
            "head_dim": latent.qk_rope_head_dim,
            **asdict(latent),
            "first_k_dense_replace": self.num_hidden_layers,
        }
        if self.experts is not None:
            method = "group_limited_greedy" if self.experts.n_group > 1 else "greedy"
            stored |= asdict(self.experts) | {
                "topk_method": method,
                "scoring_func": "softmax",
                "norm_topk_prob": False,
            }
        return stored


def _refuse_unsupported(raw: Mapping[str, Any]) -> None:
    model_type = raw.get("model_type", "llama")
    if model_type not in ("llama", "qwen2", "deepseek_v2"):
        raise UnsupportedShapeError(
            f"config.json describes a {model_type!r} model; midfill's network runs 'llama', 'qwen2' and 'deepseek_v2' "
            "shapes (DeepSeek-Coder, Qwen2.5-Coder, Code Llama, and models trained with `midfill train`)"
        )
    for field in ("attention_bias", "mlp_bias", "use_sliding_window"):
        if raw.get(field):
            raise UnsupportedShapeError(f"config.json sets {field}, which midfill's network does not do")
    if raw.get("hidden_act", "silu") != "silu":
        raise UnsupportedShapeError(f"config.json sets hidden_act {raw['hidden_act']!r}; midfill's network uses 'silu'")
    # transformers runs these too, but does as if they were not there: better refused than wrong.
    if model_type == "deepseek_v2" and raw.get("norm_topk_prob"):
        raise ModelFolderError("config.json sets norm_topk_prob, which no released DeepSeek-V2 model does")
    if model_type == "deepseek_v2" and raw.get("scoring_func", "softmax") != "softmax":
        raise ModelFolderError(f"config.json sets scoring_func {raw['scoring_func']!r}; DeepSeek-V2 has 'softmax'")


def _rope(raw: Mapping[str, Any]) -> tuple[float, float, YarnConfig | None]:
    parameters = raw.get("rope_parameters") or {}
    scaling = raw.get("rope_scaling") or parameters
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    theta = float(parameters.get("rope_theta", raw.get("rope_theta", 10_000.0)))
    if kind == "default":
        return theta, 1.0, None
    if kind == "linear":
        return theta, float(scaling["factor"]), None
    if kind == "yarn" and raw.get("model_type") == "deepseek_v2":
        return theta, 1.0, _yarn(scaling)
    raise UnsupportedShapeError(
        f"config.json asks for {kind!r} rope scaling; midfill's network does 'linear' scaling, "
        "and 'yarn' in DeepSeek-V2 shapes"
    )


def _yarn(scaling: Mapping[str, Any]) -> YarnConfig:
    return YarnConfig(
        factor=float(scaling["factor"]),
        original_max_position_embeddings=int(scaling["original_max_position_embeddings"]),
        beta_fast=float(scaling.get("beta_fast") or 32),
        beta_slow=float(scaling.get("beta_slow") or 1),
        mscale=float(scaling.get("mscale", 1)),
        mscale_all_dim=float(scaling.get("mscale_all_dim", 0)),
    )


def _latent_attention(raw: Mapping[str, Any]) -> LatentAttentionConfig | None:
    if raw.get("model_type") != "deepseek_v2":
        return None
    rank = raw.get("q_lora_rank")
    return LatentAttentionConfig(
        q_lora_rank=None if rank is None else int(rank),
        kv_lora_rank=int(raw["kv_lora_rank"]),
        qk_nope_head_dim=int(raw["qk_nope_head_dim"]),
        qk_rope_head_dim=int(raw["qk_rope_head_dim"]),
        v_head_dim=int(raw["v_head_dim"]),
    )


def _experts(raw: Mapping[str, Any]) -> ExpertsConfig | None:
    dense = int(raw.get("first_k_dense_replace", 0))
    if not raw.get("n_routed_experts") or dense >= int(raw["num_hidden_layers"]):
        return None
    method = raw.get("topk_method", "greedy")
    if method not in ("greedy", "group_limited_greedy"):
        raise UnsupportedShapeError(f"config.json asks for topk_method {method!r}; midfill's network has 'greedy'")
    limited = method == "group_limited_greedy"
    return ExpertsConfig(
        n_routed_experts=int(raw["n_routed_experts"]),
        n_shared_experts=int(raw.get("n_shared_experts") or 0),
        num_experts_per_tok=int(raw["num_experts_per_tok"]),
        moe_intermediate_size=int(raw["moe_intermediate_size"]),
        routed_scaling_factor=float(raw.get("routed_scaling_factor", 1.0)),
        n_group=int(raw["n_group"]) if limited else 1,
        topk_group=int(raw["topk_group"]) if limited else 1,
        first_k_dense_replace=dense,
        moe_layer_freq=int(raw.get("moe_layer_freq") or 1),
    )


def _first_id(value: object) -> int | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, int) else None
