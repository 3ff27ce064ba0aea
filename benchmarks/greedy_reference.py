"""Compares greedy answers with a slow reference, token for token, on prompts cut from real repositories.

    python -m benchmarks.greedy_reference FOLDER... [--prompts 500] [--skip 0] [--model default]

The engine keeps keys and values from prompt to prompt and checks drafts in one pass; the reference reads the whole
sequence anew for every token, one token at a time, in fp32. Both mix in the n-gram models and heal tokens.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import model_folder
from engine.api import Completion, CompletionRequest, Length
from engine.completer import Completer, Drafting
from engine.model.network import TokenCache
from engine.model.transformer import Transformer
from engine.model_names import resolve
from engine.ngram import NgramCollection

_MAX_TOKENS = 24
_COLLECTION = "all"
_TOLD_EVERY = 25


@dataclass(slots=True)
class Ids:
    """A cache that keeps nothing but the tokens themselves."""

    capacity: int
    ids: list[int] = field(default_factory=list)
    memory_bytes: int = 0

    @property
    def length(self) -> int:
        """Tokens held."""
        return len(self.ids)

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        del self.ids[length:]


class RereadingNetwork:
    """The fp32 network, which reads everything anew at every call."""

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transformer, name)

    def new_cache(self, capacity: int) -> Ids:
        """Return an empty cache."""
        return Ids(capacity=capacity)

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Return the logits [T, vocab_size] after each new token."""
        assert isinstance(cache, Ids)
        cache.ids += ids[0].tolist()
        states = self._transformer.hidden_states(torch.tensor([cache.ids]))[0, -ids.shape[1] :]
        logits: Tensor = self._transformer.lm_head(states)
        return logits

    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Return the logits [1, vocab_size] after the last token."""
        return self.logits(ids, cache)[-1:]


def main() -> None:
    """Print how many answers are equal; exit with 1 unless all are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--skip", type=int, default=0, help="prompts to leave out first: a run in several pieces")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    count = 0
    for request, fast, slow in differences(arguments.folders, arguments.prompts, arguments.model, skip=arguments.skip):
        print(f"{request.path}, {len(request.prefix)} characters in: {fast!r} is not {slow!r}", flush=True)
        count += 1
    print(f"{arguments.prompts - count} of {arguments.prompts} answers equal the slow reference")
    raise SystemExit(bool(count))


def differences(
    folders: Sequence[Path], prompts: int, model_name: str = "default", *, skip: int = 0
) -> Iterator[tuple[CompletionRequest, str, str]]:
    """Yield every request that the engine answers differently, with both answers."""
    model = model_folder.read(resolve(model_name))
    texts = _texts(folders)
    collection = NgramCollection(model.network.config.vocab_size)
    collection.learn({path: model.tokenizer.encode(text) for path, text in texts.items()})
    slow_model = replace(model, network=RereadingNetwork(model.transformer))
    find = {_COLLECTION: collection}.get
    fast = Completer(model, find_collection=find)
    for number, request in enumerate(islice(_requests(texts, skip + prompts), skip, None)):
        if number and number % _TOLD_EVERY == 0:
            print(f"{number} prompts compared", file=sys.stderr, flush=True)
        slow = Completer(slow_model, find_collection=find, drafting=Drafting.OFF)
        one, other = _answer(fast, request), _answer(slow, request)
        if one != other:
            yield request, one, other


def _texts(folders: Sequence[Path]) -> dict[str, str]:
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return {str(path): path.read_text("utf-8", "replace") for path in files if path.stat().st_size < 100_000}


def _requests(texts: dict[str, str], prompts: int) -> Iterator[CompletionRequest]:
    chance = random.Random(1)
    names = [name for name, text in texts.items() if len(text) > 400]
    for number in range(prompts):
        name = chance.choice(names)
        text = texts[name]
        cursor = chance.randrange(200, len(text) - 100)
        rest = text.find("\n", cursor)
        yield CompletionRequest(
            document=str(number % 7),  # so that kept keys and values meet other prompts
            path=name,
            comment="#",
            prefix=text[:cursor],
            suffix=text[rest if rest >= 0 else cursor :],
            collection=_COLLECTION,
            length=(Length.LINE, Length.BLOCK)[number % 2],
            max_tokens=_MAX_TOKENS,
        )


def _answer(completer: Completer, request: CompletionRequest) -> str:
    *_, completion = completer.complete(request)
    assert isinstance(completion, Completion)
    return completion.text


if __name__ == "__main__":
    main()
