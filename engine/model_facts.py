"""What a model folder holds, told from its small files and the heads of its weights (no torch, nothing is loaded)."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from engine.errors import ModelFolderError
from engine.prompt import read_settings
from engine.tokenizer import Tokenizer

_LONGEST_HEAD: Final = 100 << 20
"""Bytes; safetensors' own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model folder."""

    folder: Path
    architecture: str
    layers: int
    hidden_size: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    parameters: int
    """Stored numbers; tied embeddings count once."""
    active_parameters: int
    """Of these, what one token is computed with: fewer where it is sent to some of many experts."""
    cache_numbers_per_token: int
    """Numbers that all layers keep of a token: keys and values, or latents."""
    stored_as: str
    """The types of the stored numbers, the most frequent first."""
    stored_bytes: int
    context_length: int
    format: str
    mode: str
    has_chat: bool
    """Whether it says how it is talked to: an instruct model."""

    def memory_bytes(self, bits: float) -> int:
        """Estimate the bytes of the weights at so many bits each."""
        return int(self.parameters * bits / 8)

    @property
    def cache_bytes_per_token(self) -> int:
        """Estimate the bytes of keys and values that a token of the prompt takes, at 16 bits."""
        return 2 * self.cache_numbers_per_token


def read_facts(folder: Path) -> ModelFacts:
    """Read what can be told without loading the model.

    Raises:
        ModelFolderError: a file is missing or broken.
    """
    raw = read_json(folder / "config.json")
    config = raw.get("text_config") if isinstance(raw.get("text_config"), dict) else raw
    assert isinstance(config, dict)
    tensors: list[_Tensor] = []
    stored = 0
    for file in sorted(folder.glob("*.safetensors")):
        stored += file.stat().st_size
        tensors += _tensors(file)
    if not tensors:
        raise ModelFolderError(f"{folder} holds no *.safetensors; a model folder needs its weights in that form")
    heads = _whole(config, "num_attention_heads", "n_head")
    hidden = _whole(config, "hidden_size", "n_embd")
    context = _whole(config, "max_position_embeddings", "n_positions")
    layers = _whole(config, "num_hidden_layers", "n_layer")
    key_value_heads = 1 if config.get("multi_query") else int(config.get("num_key_value_heads") or heads)
    head_width = int(config.get("head_dim") or hidden // max(heads, 1))
    kept = 2 * layers * key_value_heads * head_width
    if config.get("kv_lora_rank"):  # latent attention
        kept = layers * (int(config["kv_lora_rank"]) + _whole(config, "qk_rope_head_dim"))
        head_width = _whole(config, "qk_rope_head_dim") + _whole(config, "qk_nope_head_dim")
    parameters = sum(tensor.numbers for tensor in tensors)
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.numbers
    settings = read_settings(folder, Tokenizer.load(folder), context_length=context)
    return ModelFacts(
        folder=folder,
        architecture=str((raw.get("architectures") or [raw.get("model_type", "unknown")])[0]),
        layers=layers,
        hidden_size=hidden,
        heads=heads,
        key_value_heads=key_value_heads,
        head_width=head_width,
        vocabulary=_whole(config, "vocab_size"),
        parameters=parameters,
        active_parameters=parameters - _resting(tensors, config),
        cache_numbers_per_token=kept,
        stored_as=", ".join(sorted(sizes, key=lambda kind: -sizes[kind])),
        stored_bytes=stored,
        context_length=settings.context_length,
        format=settings.fim.name,
        mode=settings.mode.value,
        has_chat=_has_chat(folder),
    )


def _has_chat(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists():
        return True
    path = folder / "tokenizer_config.json"
    return path.exists() and bool(read_json(path).get("chat_template"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    name: str
    kind: str
    numbers: int


def _resting(tensors: Sequence[_Tensor], config: Mapping[str, Any]) -> int:
    """Count the numbers of the routed experts that a token is not sent to."""
    experts, chosen = config.get("n_routed_experts"), config.get("num_experts_per_tok")
    if not experts or not chosen:
        return 0
    routed = sum(tensor.numbers for tensor in tensors if ".mlp.experts." in tensor.name)
    return routed * (int(experts) - int(chosen)) // int(experts)


def _tensors(file: Path) -> list[_Tensor]:
    """List the stored tensors, from the head of a safetensors file."""
    try:
        with file.open("rb") as stored:
            (length,) = struct.unpack("<Q", stored.read(8))
            if length > _LONGEST_HEAD:
                raise ValueError("its head is too long")
            head = json.loads(stored.read(length))
        return [
            # A byte holds two weights of 4 bits; scales are no parameters.
            _Tensor(name=name, kind=tensor["dtype"], numbers=prod(tensor["shape"]) * (1 + (tensor["dtype"] == "U8")))
            for name, tensor in head.items()
            if name != "__metadata__" and not name.endswith("_scale")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelFolderError(f"{file} is broken ({error}); fetch it again") from error


def _whole(config: Mapping[str, Any], *names: str) -> int:
    value = next((config[name] for name in names if isinstance(config.get(name), int)), None)
    if value is None:
        raise ModelFolderError(f"config.json has no {names[0]!r}; is the download complete?")
    return int(value)


def read_json(path: Path) -> dict[str, Any]:
    """Read a model folder's file that holds one JSON object.

    Raises:
        ModelFolderError: it is missing, or holds something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing; give a folder that holds a whole model") from error
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path} is broken ({error}); fetch or write it again") from error
    if not isinstance(raw, dict):
        raise ModelFolderError(f"{path} must hold a JSON object; fetch or write it again")
    return raw
