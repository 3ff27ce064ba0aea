"""Any causal language model of transformers behind the `Network` protocol: for shapes that our own network has not.

Slower than our own network, but it runs what the user has: StarCoder2, Qwen2.5-Coder, Gemma, GPT-BigCode and many more.
Weights are read from safetensors only, and no code of a model folder is ever run.
"""

import inspect
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.utils.logging import disable_progress_bar

from engine.errors import ModelFolderError
from engine.model.config import TransformerConfig
from engine.model.network import TokenCache


class GrowingCache:
    """transformers' keys and values of one sequence, which grow as it is read."""

    def __init__(self, capacity: int) -> None:
        # Made without the model's configuration, so that layers with a sliding window keep everything too: what has
        # slid out could not be had back after a `truncate`. The attention mask hides it all the same.
        self.stored = DynamicCache()
        self._capacity = capacity

    @property
    def capacity(self) -> int:
        """Tokens that may be held."""
        return self._capacity

    @property
    def length(self) -> int:
        """Tokens held."""
        return int(self.stored.get_seq_length())

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated now."""
        tensors = [
            tensor
            for layer in self.stored.layers
            for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
            if isinstance(tensor, Tensor)
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on.

        Raises:
            ValueError: `length` is negative or beyond what is held.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} tokens to {length}")
        if length == 0:
            self.stored = DynamicCache()
        elif length < self.length:
            self.stored.crop(length - self.length)


class TransformersNetwork:
    """One model of transformers; see `engine.model.network.Network`."""

    def __init__(self, model: Any, config: TransformerConfig) -> None:
        """Wrap a loaded model whose shape `config` describes."""
        self._model = model
        self._config = config
        self._keeps_last_only = "logits_to_keep" in inspect.signature(model.forward).parameters

    @classmethod
    def read(cls, folder: Path, config: TransformerConfig, *, dtype: torch.dtype, device: str) -> "TransformersNetwork":
        """Read a model folder.

        Raises:
            ModelFolderError: the weights are missing, broken, incomplete, or kept in another way than token by token.
        """
        _hush()
        read: Any
        try:
            read = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        # transformers and safetensors raise whatever their many loaders do; all of it means that this folder is no use.
        except Exception as error:
            raise ModelFolderError(f"transformers cannot read {folder}: {_one_line(error)}") from error
        model, loading = read
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ModelFolderError(
                f"{folder} lacks {len(missing)} tensors, {missing[0]!r} first; is the download complete?"
            )
        if getattr(model, "_is_stateful", False):
            raise ModelFolderError(
                f"{folder} holds a recurrent {model.config.model_type!r} model, whose state cannot be taken back token "
                "by token as completions need; serve it with vLLM or llama.cpp and give their address instead"
            )
        return cls(model.to(device).requires_grad_(requires_grad=False).eval(), config)

    @property
    def config(self) -> TransformerConfig:
        """The shape, as far as it can be said in our network's words."""
        return self._config

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = self._model.device
        return device

    @property
    def precision(self) -> str:
        """The name of the weights' type."""
        return str(self._model.dtype).removeprefix("torch.")

    @property
    def path(self) -> str:
        """What runs it."""
        return f"transformers ({self._model.config.model_type})"

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def new_cache(self, capacity: int) -> GrowingCache:
        """Return an empty cache for one sequence of up to `capacity` tokens."""
        return GrowingCache(capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `capacity` tokens need at most."""
        config = self._config
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * capacity
        return numbers * int(self._model.dtype.itemsize)

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Map ids [1, T] to the logits [T, vocab_size] after each of them.

        Raises:
            ValueError: they do not fit.
        """
        return self._read(ids, cache)[0]

    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Map ids [1, T] to the logits [1, vocab_size] after the last of them.

        Raises:
            ValueError: they do not fit.
        """
        only_last = {"logits_to_keep": 1} if self._keeps_last_only else {}
        return self._read(ids, cache, **only_last)[:, -1]

    @torch.inference_mode()
    def _read(self, ids: Tensor, cache: TokenCache, **options: int) -> Tensor:
        assert isinstance(cache, GrowingCache)
        if cache.length + ids.shape[1] > cache.capacity:
            raise ValueError(f"{cache.length + ids.shape[1]} tokens do not fit in a cache of {cache.capacity}")
        answer = self._model(input_ids=ids, past_key_values=cache.stored, use_cache=True, **options)
        logits: Tensor = answer.logits
        return logits


def read_config(folder: Path) -> TransformerConfig:
    """Describe a model of transformers in our network's words.

    Raises:
        ModelFolderError: transformers does not know the architecture, or only by code that the folder brings.
    """
    _hush()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
        heads = int(config.num_attention_heads)
        multi_query = bool(getattr(config, "multi_query", False))
        return TransformerConfig(
            vocab_size=int(config.vocab_size),
            hidden_size=int(config.hidden_size),
            intermediate_size=int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size),
            num_hidden_layers=int(config.num_hidden_layers),
            num_attention_heads=heads,
            num_key_value_heads=1 if multi_query else int(getattr(config, "num_key_value_heads", None) or heads),
            head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
            max_position_embeddings=int(config.max_position_embeddings),
            tie_word_embeddings=bool(getattr(config, "tie_word_embeddings", False)),
        )
    except ModelFolderError:
        raise
    # transformers raises whatever the code of an architecture does with a field that is not there.
    except Exception as error:
        raise ModelFolderError(f"transformers cannot run the model in {folder}: {_one_line(error)}") from error


def _hush() -> None:
    """Keep the library's reports off standard error, which belongs to whoever started this process."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()  # type: ignore[no-untyped-call]


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
