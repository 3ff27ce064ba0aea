"""Tiny models of public families, as transformers itself saves them, with tokenizers of the families' kinds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.support.tiny_model import CORPUS

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}
_MULTI_QUERY = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "n_inner": 64, "initializer_range": 0.3}
_STARCODER = ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")
_STARCODER_FILES = ("<filename>", "<gh_stars>", "<reponame>")
_FIM_BARS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What tells a family's checkpoints from others."""

    configuration: str
    """The class in transformers."""
    options: dict[str, Any]
    marks: tuple[str, ...]
    """Control tokens of its tokenizer."""
    format: str
    """The name of the format that must be recognised."""
    is_ours: bool
    """Whether our own network runs it."""
    sentencepiece: bool = False
    """Whether its tokenizer works on ▁ and puts one in front of every text."""


FAMILIES: dict[str, Family] = {
    "deepseek-coder": Family(
        configuration="LlamaConfig",
        options=_SIZES | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0}},
        marks=(
            "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>",
            "<|EOT|>",
        ),
        format="deepseek-coder",
        is_ours=True,
    ),
    "qwen2.5-coder": Family(
        configuration="Qwen2Config",
        options=_SIZES | {"tie_word_embeddings": True},
        marks=(
            "<|endoftext|>", "<|im_start|>", "<|im_end|>", *_FIM_BARS, "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
        ),
        format="qwen2.5-coder",
        is_ours=True,
    ),
    "starcoder2": Family(
        configuration="Starcoder2Config",
        options=_SIZES | {"sliding_window": 24},
        marks=(*_STARCODER, "<repo_name>", "<file_sep>"),
        format="starcoder2",
        is_ours=False,
    ),
    "starcoder": Family(
        configuration="GPTBigCodeConfig",
        options=_MULTI_QUERY | {"multi_query": True},
        marks=(*_STARCODER, *_STARCODER_FILES),
        format="starcoder",
        is_ours=False,
    ),
    "santacoder": Family(
        configuration="GPTBigCodeConfig",
        options=_MULTI_QUERY | {"multi_query": True},
        marks=("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"),
        format="santacoder",
        is_ours=False,
    ),
    "granite-code": Family(
        configuration="LlamaConfig",
        options=_SIZES | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        marks=(*_STARCODER, *_STARCODER_FILES),
        format="starcoder",
        is_ours=False,
    ),
    "granite-4": Family(
        configuration="GraniteConfig",
        options=_SIZES,
        marks=("<|end_of_text|>", *_FIM_BARS, "<|fim_pad|>"),
        format="granite-4",
        is_ours=False,
    ),
    "code-llama": Family(
        configuration="LlamaConfig",
        options=_SIZES | {"rope_theta": 1e6},
        marks=("<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
        format="code-llama",
        is_ours=True,
        sentencepiece=True,
    ),
    "codegemma": Family(
        configuration="GemmaConfig",
        options=_SIZES | {"head_dim": 16, "num_key_value_heads": 1},
        marks=("<eos>", "<bos>", *_FIM_BARS, "<|file_separator|>"),
        format="codegemma",
        is_ours=False,
    ),
    "codestral": Family(
        configuration="MistralConfig",
        options=_SIZES | {"sliding_window": None},
        marks=("<s>", "</s>", "[INST]", "[/INST]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"),
        format="codestral",
        is_ours=False,
        sentencepiece=True,
    ),
    "seed-coder": Family(
        configuration="LlamaConfig",
        options=_SIZES | {"rope_theta": 5e5},
        marks=(
            "<[begin▁of▁sentence]>", "<[end▁of▁sentence]>", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>",
        ),
        format="seed-coder",
        is_ours=True,
    ),
    "jetbrains-mellum": Family(
        configuration="LlamaConfig",
        options=_SIZES,
        marks=(*_STARCODER, *_STARCODER_FILES),
        format="mellum",
        is_ours=True,
    ),
    "a model without holes": Family(
        configuration="LlamaConfig",
        options=_SIZES | {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
            }
        },
        marks=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        format="none",
        is_ours=False,
    ),
}  # fmt: skip


def write_family(folder: Path, name: str, *, chat_template: str | None = None) -> Any:
    """Have transformers write a tiny model of a family to a folder; return transformers' own model."""
    family = FAMILIES[name]
    tokenizer = _sentencepiece() if family.sentencepiece else _byte_level()
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=True) for mark in family.marks])
    folder.mkdir(parents=True)
    ends = [mark for mark in family.marks if mark in _ENDS]
    begins = [mark for mark in family.marks if mark in _BEGINS]
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=ends[0], **({"bos_token": begins[0]} if begins else {})
    )
    if chat_template is not None:
        wrapped.chat_template = chat_template
    wrapped.save_pretrained(folder)
    options = family.options | {
        "vocab_size": tokenizer.get_vocab_size() + 8,
        "eos_token_id": tokenizer.token_to_id(ends[0]),
        "bos_token_id": tokenizer.token_to_id(begins[0]) if begins else None,
        "pad_token_id": None,
    }
    config = getattr(transformers, family.configuration)(**options)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    model.save_pretrained(folder)
    return model


_BEGINS = ("<｜begin▁of▁sentence｜>", "<s>", "<bos>", "<[begin▁of▁sentence]>", "<|begin_of_text|>")
_ENDS = (
    "<｜end▁of▁sentence｜>", "<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<[end▁of▁sentence]>",
)  # fmt: skip


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    return tokenizer


def _sentencepiece() -> Tokenizer:
    """Llama's kind: BPE over characters with ▁ for spaces, bytes for whatever is unknown, a ▁ before every text."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=pieces, show_progress=False)
    trained.train_from_iterator(CORPUS.splitlines(), trainer)
    # What the trainer calls special is plain vocabulary in Llama's tokenizer.json.
    raw = json.loads(trained.to_str())
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] == "<unk>"]
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
