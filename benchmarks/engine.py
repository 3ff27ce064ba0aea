"""Times steps of our CPU paths beside transformers and llama.cpp, on the same random weights and threads.

    python -m benchmarks.engine [--shape 50m|1.3b] [--threads 1] [--rounds 7] [--only "C++,llama"] [--json FILE]

llama.cpp takes part where `llama_cpp` and `gguf` can be imported (pip install llama-cpp-python gguf; its path may be
given in PYTHONPATH). The contestants alternate within each round; the figures are medians over rounds. With one thread
they are CPU seconds, which neighbours on the machine disturb least; with more they are wall seconds.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.llama_cpp_contestant import LlamaCpp, write_gguf
from engine import paths
from engine.model import huge_pages
from engine.model.config import TransformerConfig
from engine.model.int8_decoder import Int8Decoder
from engine.model.kernels import build
from engine.model.kernels.decoder import KernelDecoder, weight_bytes
from engine.model.network import Network
from engine.model.transformer import Transformer

_CAPACITY = 2048
_CHECKED_TOKENS = 16
_PROBED_BYTES = 128 << 20
_SHAPES = {
    "50m": TransformerConfig(
        vocab_size=32_256, hidden_size=512, intermediate_size=1408, num_hidden_layers=12, num_attention_heads=8,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=_CAPACITY, tie_word_embeddings=True,
    ),
    "1.3b": TransformerConfig(
        vocab_size=32_256, hidden_size=2048, intermediate_size=5504, num_hidden_layers=24, num_attention_heads=16,
        num_key_value_heads=16, head_dim=128, max_position_embeddings=_CAPACITY,
    ),
}  # fmt: skip


class Contestant(Protocol):
    """One engine with its own keys and values."""

    name: str

    def read(self, ids: Sequence[int], *, start: int, all_logits: int) -> int:
        """Read ids at positions from `start` on, forgetting what lay there; return the likeliest next token.

        `all_logits`: how many of the last positions' logits are computed.
        """

    def generate(self, last: int, *, start: int, count: int) -> None:
        """Read `last` at `start`, then write `count` tokens greedily."""


class Ours:
    """One of our networks."""

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self._network = network
        self._cache = network.new_cache(_CAPACITY)

    def read(self, ids: Sequence[int], *, start: int, all_logits: int) -> int:
        """See `Contestant`."""
        self._cache.truncate(start)
        read = self._network.logits if all_logits > 1 else self._network.next_logits
        return int(read(torch.tensor([ids]), self._cache)[-1].argmax())

    def generate(self, last: int, *, start: int, count: int) -> None:
        """See `Contestant`."""
        for position in range(start, start + count):
            last = self.read([last], start=position, all_logits=1)


class HuggingFace:
    """transformers' own model, cache and `generate`."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM, DynamicCache

        self.name = f"transformers {str(dtype).removeprefix('torch.')}"
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self._new_cache: Callable[[], Any] = DynamicCache
        self._cache = self._new_cache()

    @torch.inference_mode()
    def read(self, ids: Sequence[int], *, start: int, all_logits: int) -> int:
        """See `Contestant`."""
        self._crop(start)
        logits = self._model(torch.tensor([ids]), past_key_values=self._cache, logits_to_keep=all_logits).logits
        return int(logits[0, -1].argmax())

    @torch.inference_mode()
    def generate(self, last: int, *, start: int, count: int) -> None:
        """See `Contestant`."""
        self._crop(start)
        ids = torch.full((1, start + 1), last)
        options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "pad_token_id": 0}
        self._model.generate(ids, attention_mask=torch.ones_like(ids), past_key_values=self._cache, **options)

    def _crop(self, length: int) -> None:
        extra = self._cache.get_seq_length() - length
        if length == 0:
            self._cache = self._new_cache()
        elif extra > 0:
            self._cache.crop(-extra)  # tokens to remove, since transformers 5


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is timed, after `setup` tokens were read once."""

    name: str
    setup: int
    run: Callable[[Contestant], None]
    steps: int = 1
    """Times are divided by it."""


def main() -> int:
    """Run all contestants and print the table."""
    options = _parse()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    config = _SHAPES[options.shape]
    ids = torch.randint(0, config.vocab_size, (_CAPACITY,), generator=torch.Generator().manual_seed(1)).tolist()
    rows = _rows(ids)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        contestants = list(_contestants(config, options, Path(folder)))
        for row in rows:
            times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
            for contestant in contestants:
                if row.setup:
                    contestant.read(ids[: row.setup], start=0, all_logits=1)
                row.run(contestant)  # warm
            for _ in range(options.rounds):
                for contestant in contestants:
                    began = clock()
                    row.run(contestant)
                    times[contestant.name].append((clock() - began) / row.steps * 1e3)
            results[row.name] = {name: statistics.median(values) for name, values in times.items()}
            print(_line(row.name, results[row.name]), flush=True)
    print(_bandwidth(config, results[rows[0].name], clock))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _rows(ids: Sequence[int]) -> list[Row]:
    return [
        Row("1 token @1,024", 1024, lambda c: c.generate(ids[1023], start=1023, count=8), steps=8),
        Row("8 tokens @1,024", 1024, lambda c: _ignore(c.read(ids[1016:1024], start=1016, all_logits=8))),
        Row("prefill 512", 0, lambda c: _ignore(c.read(ids[:512], start=0, all_logits=1))),
        Row("prefill 1,024", 0, lambda c: _ignore(c.read(ids[:1024], start=0, all_logits=1))),
        Row("32 new on 1,500", 1500, lambda c: _ignore(c.read(ids[1468:1500], start=1468, all_logits=1))),
    ]


def _ignore(_: int) -> None: ...


def _contestants(config: TransformerConfig, options: argparse.Namespace, folder: Path) -> Iterator[Contestant]:
    transformer = Transformer(config)
    transformer.initialise(torch.Generator().manual_seed(0))
    transformer.requires_grad_(requires_grad=False).eval()
    wanted = [name for name in options.only.split(",") if name]

    def asked(name: str) -> bool:
        return not wanted or any(part in name for part in wanted)

    if asked("torch int8"):
        yield Ours("torch int8", Int8Decoder(transformer))
    plan = build.recipe(paths.cache_folder() / "kernels")
    build.build(plan)
    for bits in (8, 4):
        if asked(f"C++ q{bits}"):
            yield Ours(f"C++ q{bits}", KernelDecoder(build.load(plan), transformer, bits=bits, threads=options.threads))
    if any(asked(name) for name in ("transformers float32", "transformers bfloat16")):
        _save(transformer, folder)
        for dtype in (torch.float32, torch.bfloat16):
            if asked(f"transformers {str(dtype).removeprefix('torch.')}"):
                yield HuggingFace(folder, dtype)
    kinds = [kind for kind in ("q8_0", "q4_0") if asked(f"llama.cpp {kind}")]
    if kinds and _installed():
        write_gguf(transformer, folder / "model.gguf")
        _check_conversion(transformer, folder / "model.gguf")
        del transformer
        gc.collect()
        for kind in kinds:
            yield LlamaCpp(folder / "model.gguf", kind, threads=options.threads, capacity=_CAPACITY)


def _check_conversion(transformer: Transformer, path: Path) -> None:
    """Stop unless llama.cpp runs the same network: greedy tokens behind a prompt must be those of our fp32."""
    ids = torch.randint(0, transformer.config.vocab_size, (48,), generator=torch.Generator().manual_seed(2)).tolist()
    written = []
    for contestant in (Ours("float32", transformer), LlamaCpp(path, "f32", threads=1, capacity=_CAPACITY)):
        tokens = [contestant.read(ids, start=0, all_logits=1)]
        while len(tokens) < _CHECKED_TOKENS:
            tokens.append(contestant.read(tokens[-1:], start=len(ids) + len(tokens) - 1, all_logits=1))
        written.append(tokens)
    if written[0] != written[1]:
        raise RuntimeError(f"llama.cpp writes {written[1]} and our network {written[0]}: the GGUF file is wrong")


def _save(transformer: Transformer, folder: Path) -> None:
    from safetensors.torch import save_file

    names = ((name if name.startswith("lm_head.") else f"model.{name}", value)
             for name, value in transformer.named_parameters())  # fmt: skip
    save_file(
        {name: value.detach().contiguous() for name, value in names}, folder / "model.safetensors", {"format": "pt"}
    )
    (folder / "config.json").write_text(json.dumps(transformer.config.to_hugging_face()), encoding="utf-8")


def _installed() -> bool:
    try:
        import_module("gguf")
        import_module("llama_cpp")
    except ImportError as error:
        print(f"llama.cpp takes no part: {error}", file=sys.stderr)
        return False
    return True


def _line(name: str, times: dict[str, float]) -> str:
    return f"{name:16}" + "  ".join(f"{who} {value:.2f}" for who, value in times.items()) + "  (ms)"


def _bandwidth(config: TransformerConfig, times: dict[str, float], clock: Callable[[], float]) -> str:
    """Compare one-token steps with the time that reading the weights and the keys and values alone would take."""
    array = huge_pages.empty((_PROBED_BYTES // 4,), torch.float32).fill_(1).numpy()
    seconds = []
    for _ in range(100):
        began = clock()
        array.max()
        seconds.append(clock() - began)
    rate, rate_now = array.nbytes / min(seconds), array.nbytes / statistics.median(seconds)
    kept = 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 1024
    parts = [f"one thread reads {rate / 1e9:.1f} GB/s at best, {rate_now / 1e9:.1f} at the median of 100 probes"]
    for bits in (8, 4):
        if f"C++ q{bits}" in times:
            bound = (weight_bytes(config, bits=bits) + kept) / rate * 1e3
            parts.append(f"C++ q{bits}: bound {bound:.2f} ms, {bound / times[f'C++ q{bits}']:.0%} of it reached")
    return "; ".join(parts)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=sorted(_SHAPES), default="50m")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="parts of contestants' names, with commas; default: all")
    parser.add_argument("--json", type=Path, help="where to write the medians, in milliseconds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
