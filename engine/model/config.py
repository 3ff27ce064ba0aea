"""The shape of the network, read from and written as a Hugging Face `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ModelFolderError, UnsupportedShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """A LlamaForCausalLM shape; field names are the checkpoint format's own."""

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
    max_position_embeddings: int
    """Longest sequence in tokens, prompt and completion together."""
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_factor: float = 1.0
    """Linear position scaling: position m turns by m / factor (DeepSeek-Coder, section 3.6)."""
    tie_word_embeddings: bool = False
    query_key_value_bias: bool = False
    """Whether these three projections add a bias, as Qwen2's do."""
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built.

        Raises:
            ModelFolderError: heads do not divide into key/value heads, or a head has an odd width.
        """
        if self.num_attention_heads % self.num_key_value_heads:
            raise ModelFolderError(
                f"config: {self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key/value heads; the first must be a multiple of the second"
            )
        if self.head_dim % 2:
            raise ModelFolderError(f"config: head_dim {self.head_dim} is odd; rotary positions turn pairs")

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
            theta, factor = _rope(raw)
            return cls(
                vocab_size=int(raw["vocab_size"]),
                hidden_size=int(raw["hidden_size"]),
                intermediate_size=int(raw["intermediate_size"]),
                num_hidden_layers=int(raw["num_hidden_layers"]),
                num_attention_heads=heads,
                num_key_value_heads=int(raw.get("num_key_value_heads") or heads),
                head_dim=int(raw.get("head_dim") or int(raw["hidden_size"]) // heads),
                max_position_embeddings=int(raw["max_position_embeddings"]),
                rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
                rope_theta=theta,
                rope_factor=factor,
                tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
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
        rope: dict[str, Any] = {"rope_theta": self.rope_theta, "rope_type": "default"}
        scaling = None
        if self.rope_factor != 1.0:
            rope |= {"rope_type": "linear", "factor": self.rope_factor}
            scaling = {"type": "linear", "rope_type": "linear", "factor": self.rope_factor}
        return {
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


def _refuse_unsupported(raw: Mapping[str, Any]) -> None:
    model_type = raw.get("model_type", "llama")
    if model_type != "llama":
        raise UnsupportedShapeError(
            f"config.json describes a {model_type!r} model; midfill's network runs 'llama' shapes "
            "(DeepSeek-Coder 1.3B to 33B, Code Llama, and models trained with `midfill train`)"
        )
    for field in ("attention_bias", "mlp_bias"):
        if raw.get(field):
            raise UnsupportedShapeError(f"config.json sets {field}; midfill's network has no biases")
    if raw.get("hidden_act", "silu") != "silu":
        raise UnsupportedShapeError(f"config.json sets hidden_act {raw['hidden_act']!r}; midfill's network uses 'silu'")


def _rope(raw: Mapping[str, Any]) -> tuple[float, float]:
    parameters = raw.get("rope_parameters") or {}
    scaling = raw.get("rope_scaling") or parameters
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    theta = float(parameters.get("rope_theta", raw.get("rope_theta", 10_000.0)))
    if kind == "default":
        return theta, 1.0
    if kind == "linear":
        return theta, float(scaling["factor"])
    raise UnsupportedShapeError(f"config.json asks for {kind!r} rope scaling; midfill's network does 'linear' scaling")


def _first_id(value: object) -> int | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, int) else None
