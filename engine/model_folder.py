"""Reads and writes the folder a model is served from, in Hugging Face's format.

config.json                       the shape (LlamaForCausalLM or DeepseekV2ForCausalLM)
model.safetensors                 the weights; or model-00001-of-0000N.safetensors and their index
tokenizer.json                    the tokenizer
prompt.json                       the fill-in-the-middle format it was trained on (optional for known families)
mixture.json                      how its distribution is mixed with the n-gram cache's (optional)
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.cache_model import Mixture
from engine.errors import ModelFolderError, UnsupportedShapeError
from engine.model.config import TransformerConfig
from engine.model.cuda_decoder import CudaDecoder
from engine.model.expert_weights import is_joined, separated
from engine.model.network import Network
from engine.model.quantized_network import QuantizedNetwork, packed_bytes
from engine.model.quantized_storage import METHOD, unpacked
from engine.model.serving import Precision, cores_to_use, memory_for_weights, on_cpu
from engine.model.transformer import Transformer
from engine.model_facts import read_json
from engine.paths import cache_folder
from engine.prompt import PromptSettings, read_settings
from engine.tokenizer import Tokenizer

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_STORED_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""In which weights stay until they are quantised, so that a big model needs no copy of twice its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """Everything a model folder holds, ready to run."""

    folder: Path
    network: Network
    """What answers requests: the reference `Transformer`, or one of its faster forms."""
    tokenizer: Tokenizer
    prompt_settings: PromptSettings
    mixture: Mixture

    @property
    def transformer(self) -> Transformer:
        """The network as training and evaluation need it; only a folder that was read plainly has it."""
        assert isinstance(self.network, Transformer)
        return self.network


def read(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> ServedModel:
    """Read a model folder.

    Args:
        folder: holds `config.json`, the weights and `tokenizer.json`.
        dtype: the weights are converted to it.
        device: where the weights go.

    Raises:
        ModelFolderError: a file is missing or broken; the message names it.
    """
    config = read_config(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise ModelFolderError(
            f"{folder}: tokenizer.json has {tokenizer.vocab_size} ids, but config.json has room for {config.vocab_size}"
        )
    settings = read_settings(folder, tokenizer, context_length=config.max_position_embeddings)
    return ServedModel(
        folder=folder,
        network=_read_network(folder, config, dtype, device),
        tokenizer=tokenizer,
        prompt_settings=settings,
        mixture=_read_mixture(folder),
    )


def serve(
    folder: Path, *, precision: Precision = Precision.AUTO, threads: int | None = None, device: str = "cpu"
) -> ServedModel:
    """Read a model folder in the form that answers fastest on this device.

    Args:
        folder: as for `read`.
        precision: of the weights on a CPU; a GPU holds them in bfloat16.
        threads: on a CPU; None measures which number is fastest.
        device: where the network runs.

    Raises:
        ModelFolderError: a file is missing or broken; the message names it.
        EngineError: the folder of compiled kernels cannot be used.
    """
    if torch.device(device).type == "cuda":
        model = read(folder, dtype=torch.bfloat16, device=device)
        plain = not isinstance(model.network, Transformer) or model.network.config.latent_attention is not None
        return model if plain else replace(model, network=CudaDecoder(model.transformer))
    stored = _STORED_DTYPES.get(str(read_json(folder / "config.json").get("dtype")), torch.float32)
    model = read(folder, dtype=stored if is_ours(folder) else torch.float32, device=device)
    if torch.device(device).type != "cpu" or not isinstance(model.network, Transformer):
        torch.set_num_threads(threads or cores_to_use())
        return model
    if model.network.config.latent_attention is not None:
        torch.set_num_threads(threads or cores_to_use())
        return replace(model, network=quantized_on_cpu(model.network, precision))
    kernels = cache_folder() / "kernels"
    return replace(model, network=on_cpu(model.network, precision=precision, threads=threads, kernels=kernels))


def quantized_on_cpu(transformer: Transformer, precision: Precision) -> Network:
    """Return a network with latent attention in the precision asked for; AUTO takes 8 bits where they fit, else 4."""
    if precision is Precision.FLOAT32:
        return transformer.float()
    fits = packed_bytes(transformer.config, bits=8) <= memory_for_weights()
    eight = precision is Precision.INT8 or (precision is Precision.AUTO and fits)
    return QuantizedNetwork(transformer, bits=8 if eight else 4)


def read_config(folder: Path) -> TransformerConfig:
    """Read `config.json`; the shapes that only transformers runs are told in our network's words.

    Raises:
        ModelFolderError: it is missing, broken, or describes an architecture that transformers does not know.
    """
    raw = read_json(folder / "config.json")
    try:
        return TransformerConfig.from_hugging_face(raw)
    except UnsupportedShapeError:
        from engine import transformers_network  # seconds to import, and mostly not needed

        return transformers_network.read_config(folder)


def read_transformer(folder: Path, config: TransformerConfig, dtype: torch.dtype, device: str) -> Transformer:
    """Read the weights alone.

    Raises:
        ModelFolderError: a tensor is missing, unknown, or of another shape than `config` asks for.
    """
    with torch.device("meta"):
        transformer = Transformer(config)
    parameters = dict(transformer.named_parameters())
    expected = {
        stored: part.shape for name, parameter in parameters.items() for stored, part in separated(name, parameter)
    }
    weights: dict[str, Tensor] = {}
    for name, tensor in stored_tensors(folder):
        name = name.removeprefix("model.")
        if name.endswith("rotary_emb.inv_freq") or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        if name not in expected:
            raise ModelFolderError(f"{folder} stores {name!r}, which the network has not; is config.json right?")
        if tensor.shape != expected[name]:
            raise ModelFolderError(
                f"{folder}: {name} has shape {list(tensor.shape)}, config.json asks for {list(expected[name])}"
            )
        weights[name] = tensor.to(device=device, dtype=dtype)
    missing = sorted(set(expected) - set(weights))
    if missing:
        raise ModelFolderError(
            f"{folder} lacks {len(missing)} tensors, {missing[0]!r} first; is the download complete?"
        )
    for name in filter(is_joined, parameters):
        joined = torch.empty(parameters[name].shape, dtype=dtype, device=device)
        for stored, part in separated(name, joined):
            part.copy_(weights.pop(stored))
        weights[name] = joined
    transformer.load_state_dict(weights, strict=False, assign=True)
    if config.tie_word_embeddings:
        transformer.lm_head.weight = transformer.embed_tokens.weight
    return transformer.requires_grad_(requires_grad=False).eval()


def _read_network(folder: Path, config: TransformerConfig, dtype: torch.dtype, device: str) -> Network:
    if is_ours(folder):
        return read_transformer(folder, config, dtype, device)
    from engine.transformers_network import TransformersNetwork

    return TransformersNetwork.read(folder, config, dtype=dtype, device=device)


def is_ours(folder: Path) -> bool:
    """Whether our own network runs this shape.

    Raises:
        ModelFolderError: `config.json` is missing or broken.
    """
    try:
        TransformerConfig.from_hugging_face(read_json(folder / "config.json"))
    except UnsupportedShapeError:
        return False
    return True


def write_reading(folder: Path, *, prompt_settings: PromptSettings, mixture: Mixture) -> None:
    """Say anew how a stored network is read and mixed: `prompt.json` and `mixture.json`.

    Raises:
        ModelFolderError: the folder cannot be written.
    """
    try:
        _write_json(folder / "prompt.json", prompt_settings.to_json())
        _write_json(folder / "mixture.json", mixture.to_json())
    except OSError as error:
        raise ModelFolderError(f"cannot write to {folder}: {error.strerror or error}") from error


def write(
    folder: Path,
    transformer: Transformer,
    *,
    tokenizer_json: str,
    prompt_settings: PromptSettings,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = 5 * 10**9,
) -> None:
    """Write a model folder that this module, transformers and vLLM read; `config.json` comes last.

    Args:
        folder: made if missing.
        transformer: tied heads are stored once.
        tokenizer_json: the text of `tokenizer.json`.
        prompt_settings: becomes `prompt.json`.
        dtype: of the stored weights.
        shard_bytes: weights beyond this many bytes go to a further file.

    Raises:
        ModelFolderError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(folder, _checkpoint_tensors(transformer, dtype), shard_bytes)
        (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
        _write_json(folder / "tokenizer_config.json", _tokenizer_config(transformer.config, prompt_settings))
        _write_json(folder / "prompt.json", prompt_settings.to_json())
        raw = transformer.config.to_hugging_face() | {"dtype": str(dtype).removeprefix("torch.")}
        _write_json(folder / "config.json", raw)
    except OSError as error:
        raise ModelFolderError(f"cannot write the model folder {folder}: {error.strerror or error}") from error


def stored_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and weights that a folder stores; those in 8 or 4 bits in fp32.

    Raises:
        ModelFolderError: a file is missing or broken.
    """
    tensors = _tensors_as_stored(folder)
    quantization = read_json(folder / "config.json").get("quantization_config") or {}
    return unpacked(tensors) if quantization.get("quant_method") == METHOD else tensors


def _tensors_as_stored(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 - not a mapping: it has keys() and no iterator
                    yield name, stored.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelFolderError(f"{path} is broken ({error}); fetch it again") from error


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _INDEX).exists():
        weight_map = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelFolderError(f"{folder / _INDEX} has no weight_map; fetch it again")
        files = [folder / Path(name).name for name in sorted(set(weight_map.values()))]
    else:
        files = [folder / _SINGLE]
    for path in files:
        if not path.exists():
            raise ModelFolderError(f"{path} is missing; a model folder needs its weights as *.safetensors")
    return files


def _checkpoint_tensors(transformer: Transformer, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name if name.startswith("lm_head.") else f"model.{name}": part.to("cpu", dtype).contiguous()
        for joined, parameter in transformer.named_parameters()  # names each shared parameter once, as embed_tokens
        for name, part in separated(joined, parameter.detach())
    }


def _write_weights(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if shards[-1] and filled + size > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += size
    for stale in (*folder.glob("model-*-of-*.safetensors"), folder / _INDEX, folder / _SINGLE):
        stale.unlink(missing_ok=True)
    if len(shards) == 1:
        _save_shard(shards[0], folder / _SINGLE)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _save_shard(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    _write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _save_shard(shard: dict[str, Tensor], path: Path) -> None:
    save_file(shard, path, metadata={"format": "pt"})
    path.chmod(0o644)  # the library makes it private; a model folder is for every user who may read the others


def _read_mixture(folder: Path) -> Mixture:
    path = folder / "mixture.json"
    if not path.exists():
        return Mixture.default()
    raw = read_json(path)
    try:
        return Mixture.from_json(raw)
    except ModelFolderError as error:
        raise ModelFolderError(f"{folder}: {error}") from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _tokenizer_config(config: TransformerConfig, settings: PromptSettings) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "bos_token": settings.fim.begin_of_sequence,
        "eos_token": settings.fim.end_marks[0],
        "pad_token": settings.fim.end_marks[0],
        "clean_up_tokenization_spaces": False,
    }
