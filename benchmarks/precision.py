"""States what quantised weights lose: lines of the standard library completed in fp32, int8 and int4.

    python -m benchmarks.precision [--model default] [--lines 300]

Every line is cut at a character after its indentation, and its rest is to be written by the network alone, greedily.
"""

import argparse
import random
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from engine import model_folder, paths
from engine.api import Completion, CompletionRequest
from engine.completer import Completer, Source
from engine.model.int8_decoder import Int8Decoder
from engine.model.kernels import build
from engine.model.kernels.decoder import KernelDecoder
from engine.model.network import Network
from engine.model_folder import ServedModel
from engine.model_names import resolve

_CONTEXT_LINES = 40


def main() -> int:
    """Print exact match, and agreement with fp32, for every form of the network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--lines", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.read(resolve(options.model))
    drawn = list(holes(options.lines))
    written: dict[str, list[str]] = {}
    for name, network in _forms(model):
        completer = Completer(replace(model, network=network), source=Source.NETWORK)
        written[name] = [_complete(completer, number, *hole[:2]) for number, hole in enumerate(drawn)]
        right = sum(text == hole[2] for text, hole in zip(written[name], drawn, strict=True))
        same = sum(text == first for text, first in zip(written[name], written["float32"], strict=True))
        error = _logit_error(model.network, network)
        print(
            f"{name:12} exact match {right / len(drawn):.1%}, as fp32 {same / len(drawn):.1%}, "
            f"relative error of the logits {error:.2%}",
            flush=True,
        )
    return 0


def _forms(model: ServedModel) -> Iterator[tuple[str, Network]]:
    yield "float32", model.network
    yield "torch int8", Int8Decoder(model.transformer)
    plan = build.recipe(paths.cache_folder() / "kernels")
    build.build(plan)
    for bits in (8, 4):
        yield f"C++ int{bits}", KernelDecoder(build.load(plan), model.transformer, bits=bits, threads=1)


def holes(count: int) -> Iterator[tuple[str, str, str]]:
    """Yield prefix, suffix and the rest of the line between them."""
    chance = random.Random(0)
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for path in chance.choices(files, k=count):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        number = chance.randrange(len(lines))
        line = lines[number].rstrip("\n")
        indentation = len(line) - len(line.lstrip())
        cut = chance.randint(indentation, len(line))
        before = "".join(lines[max(0, number - _CONTEXT_LINES) : number]) + line[:cut]
        yield before, "\n" + "".join(lines[number + 1 : number + 1 + _CONTEXT_LINES]), line[cut:]


def _complete(completer: Completer, number: int, prefix: str, suffix: str) -> str:
    request = CompletionRequest(
        document=str(number % 4), path="module.py", comment="#", prefix=prefix, suffix=suffix, max_tokens=32
    )
    *_, last = completer.complete(request)
    assert isinstance(last, Completion)
    return last.text.rstrip("\n")


@torch.inference_mode()
def _logit_error(reference: Network, network: Network) -> float:
    ids = torch.randint(0, reference.config.vocab_size - 100, (1, 400), generator=torch.Generator().manual_seed(0))
    exact, ours = (form.logits(ids, form.new_cache(400)) for form in (reference, network))
    return float((ours - exact).norm() / exact.norm())


if __name__ == "__main__":
    sys.exit(main())
