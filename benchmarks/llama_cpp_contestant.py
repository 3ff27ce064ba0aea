"""llama.cpp as a contestant: our weights as a GGUF file, its own quantiser, its decode call without wrappers."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from engine.model.transformer import Block, Transformer


def write_gguf(transformer: Transformer, path: Path, *, tokenizer: Path | None = None) -> None:
    """Write all weights in fp32, with the vocabulary of a `tokenizer.json` or none.

    Only ids are to be sent to what reads the file: how text is split before it is merged is not written.
    """
    gguf: Any = import_module("gguf")

    config = transformer.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if tokenizer is None:
        writer.add_tokenizer_model("no_vocab")
    else:
        _add_vocabulary(gguf, writer, tokenizer, config.vocab_size)
    writer.add_tensor("token_embd.weight", transformer.embed_tokens.weight.numpy())
    if not config.tie_word_embeddings:
        writer.add_tensor("output.weight", transformer.lm_head.weight.numpy())
    writer.add_tensor("output_norm.weight", transformer.norm.weight.numpy())
    for number, block in enumerate(transformer.layers):
        assert isinstance(block, Block)
        attention, mlp = block.self_attn, block.mlp
        tensors = {
            "attn_norm": block.input_layernorm.weight,
            "attn_q": _interleaved(attention.q_proj.weight, config.num_attention_heads),
            "attn_k": _interleaved(attention.k_proj.weight, config.num_key_value_heads),
            "attn_v": attention.v_proj.weight,
            "attn_output": attention.o_proj.weight,
            "ffn_norm": block.post_attention_layernorm.weight,
            "ffn_gate": mlp.gate_proj.weight,
            "ffn_up": mlp.up_proj.weight,
            "ffn_down": mlp.down_proj.weight,
        }
        for name, tensor in tensors.items():
            writer.add_tensor(f"blk.{number}.{name}.weight", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """One quantisation of the model with llama.cpp's own defaults; "f32" rounds nothing, keys and values neither."""

    def __init__(self, path: Path, kind: str, *, threads: int, capacity: int) -> None:
        llama_cpp: Any = import_module("llama_cpp")

        self._library = llama_cpp
        self.name = f"llama.cpp {kind}"
        llama_cpp.llama_log_set(_silence(llama_cpp), None)
        stored = path if kind == "f32" else quantised(path, kind, threads=threads)
        model: Any = llama_cpp.llama_model_load_from_file(str(stored).encode(), llama_cpp.llama_model_default_params())
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = capacity, capacity, 512
        settings.n_threads = settings.n_threads_batch = threads
        if kind == "f32":
            settings.type_k = settings.type_v = llama_cpp.GGML_TYPE_F32
        self._context: Any = llama_cpp.llama_init_from_model(model, settings)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch: Any = llama_cpp.llama_batch_init(capacity, 0, 1)

    def read(self, ids: Sequence[int], *, start: int, all_logits: int) -> int:
        """Read ids at positions from `start` on; return the likeliest next token."""
        library, batch = self._library, self._batch
        library.llama_memory_seq_rm(self._memory, 0, start, -1)
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place] = token, start + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place >= len(ids) - all_logits
        if library.llama_decode(self._context, batch):
            raise RuntimeError("llama.cpp cannot decode")
        logits = library.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._vocabulary,)).argmax())

    def generate(self, last: int, *, start: int, count: int) -> None:
        """Read `last` at `start`, then write `count` tokens greedily."""
        for position in range(start, start + count):
            last = self.read([last], start=position, all_logits=1)


def quantised(path: Path, kind: str, *, threads: int) -> Path:
    """Have llama.cpp quantise a GGUF file to "q8_0" or "q4_0"; return the new one beside it."""
    library: Any = import_module("llama_cpp")
    library.llama_log_set(_silence(library), None)
    stored = path.with_name(f"{kind}.gguf")
    options = library.llama_model_quantize_default_params()
    options.ftype = {"q8_0": library.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": library.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    options.nthread = threads
    if library.llama_model_quantize(str(path).encode(), str(stored).encode(), options):
        raise RuntimeError(f"llama.cpp cannot quantise to {kind}")
    return stored


def _add_vocabulary(gguf: Any, writer: Any, tokenizer: Path, size: int) -> None:
    raw = json.loads(tokenizer.read_text("utf-8"))
    texts = {number: text for text, number in raw["model"]["vocab"].items()}
    marks = {token["id"]: token["content"] for token in raw["added_tokens"]}
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([marks.get(number, texts.get(number, f"[unused {number}]")) for number in range(size)])
    writer.add_token_types(
        [
            kinds.CONTROL if number in marks else kinds.NORMAL if number in texts else kinds.UNUSED
            for number in range(size)
        ]
    )
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"]])


_kept: list[Any] = []


def _silence(library: Any) -> Any:
    callback = library.llama_log_callback(lambda _level, _text, _data: None)
    _kept.append(callback)
    return callback


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """llama.cpp turns neighbouring pairs, Llama checkpoints pairs half a head apart."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)
