"""What `"typed_text": "middle"` costs in exact match, and what it spares in tokens read (EFIM, arXiv 2505.21889).

    python -m benchmarks.typed_text [--model default] [--lines 150]

The lines of `benchmarks.precision` are asked for twice, at their indentation and at the cut, as if somebody had typed
what lies between; the second answer counts. The network alone writes, greedily, on the kernels in int8. `left-to-right`
reads no suffix; the two others read it behind the prefix, as most families do.
"""

import argparse
from dataclasses import replace

import torch

from benchmarks.precision import holes
from engine import model_folder, paths
from engine.api import Completion, CompletionRequest
from engine.completer import Completer, Source
from engine.model.kernels import build
from engine.model.kernels.decoder import KernelDecoder
from engine.model_names import resolve
from engine.prompt import PromptMode, TypedText

_CONTESTANTS = {
    "left-to-right": (PromptMode.LEFT_TO_RIGHT, TypedText.PREFIX),
    "fill-in-the-middle, typed text in the prefix": (PromptMode.FILL_IN_THE_MIDDLE, TypedText.PREFIX),
    "fill-in-the-middle, typed text in the middle": (PromptMode.FILL_IN_THE_MIDDLE, TypedText.MIDDLE),
}


def main() -> None:
    """Print a line for each way to lay the prompt out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--lines", type=int, default=150)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.read(resolve(arguments.model))
    plan = build.recipe(paths.cache_folder() / "kernels")
    build.build(plan)
    network = KernelDecoder(build.load(plan), model.transformer, bits=8, threads=1)
    drawn = list(holes(arguments.lines))
    for name, (mode, typed_text) in _CONTESTANTS.items():
        settings = replace(model.prompt_settings, mode=mode, typed_text=typed_text)
        completer = Completer(replace(model, network=network, prompt_settings=settings), source=Source.NETWORK)
        right = read = total = 0
        for number, (prefix, suffix, rest) in enumerate(drawn):
            line = prefix.rfind("\n") + 1
            start = line + len(prefix[line:]) - len(prefix[line:].lstrip())
            _ask(completer, number, prefix[:start], suffix)
            answer = _ask(completer, number, prefix, suffix)
            right += answer.text.rstrip("\n") == rest
            read, total = read + answer.prompt_tokens_read, total + answer.prompt_tokens
        print(f"{name:46} exact match {right / len(drawn):.1%}, read again {read / total:.1%}", flush=True)


def _ask(completer: Completer, number: int, prefix: str, suffix: str) -> Completion:
    request = CompletionRequest(
        document=str(number), path="module.py", comment="#", prefix=prefix, suffix=suffix, max_tokens=32
    )
    *_, last = completer.complete(request)
    assert isinstance(last, Completion)
    return last


if __name__ == "__main__":
    main()
