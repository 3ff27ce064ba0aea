"""`midfill train tokenizer`: train the vocabulary alone, and compare pre-tokenizers on code that was held out."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from train.data.collect import collect
from train.data.document import SourceDocument
from train.data.filter_rules import apply_rules
from train.data.tally import Tally
from train.errors import CorpusError, RunError
from train.tokenizer import SPLITS, bytes_per_token, train_tokenizer

_HELD_OUT = 10
"""One file in so many is measured on and not learned from."""
_MOST_HELD_OUT_BYTES = 20_000_000


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to `midfill train`."""
    tokenizer = verbs.add_parser("tokenizer", help="train a tokenizer and compare ways to split, on held-out code")
    tokenizer.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="as for `midfill train data`, or its documents.jsonl"
    )
    tokenizer.add_argument("--output", required=True, type=Path, metavar="FILE", help="the tokenizer.json to write")
    tokenizer.add_argument("--vocab-size", type=int, default=32_000, help="without the marks (default: 32,000)")
    tokenizer.add_argument("--sample-bytes", type=int, default=50_000_000, help="to learn from (default: 50 million)")
    tokenizer.add_argument("--language", action="append", default=[], dest="languages", help="may be given again")
    tokenizer.add_argument(
        "--compare", nargs="*", choices=SPLITS[1:], default=SPLITS[1:], help="splits to measure beside ours"
    )
    tokenizer.set_defaults(verb=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, write, and print a table; return the exit code.

    Raises:
        CorpusError: a source cannot be read, or there is too little text.
        RunError: the file cannot be written.
    """
    documents = apply_rules(collect(arguments.sources, arguments.languages, Tally()), Tally())
    learned, held_out = divide(documents, arguments.sample_bytes)
    sizes = [sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6 for texts in (learned, held_out)]
    print(f"learning from {sizes[0]:,.1f} MB, measuring on {sizes[1]:,.1f} MB", file=sys.stderr)
    table = compare(
        learned, held_out, (SPLITS[0], *arguments.compare), arguments.vocab_size, lambda text: _write(arguments, text)
    )
    print(f"{'splits':<18}{'bytes a token':>14}")
    for splits, density in table.items():
        print(f"{splits:<18}{density:>14.3f}{'  (written)' if splits == SPLITS[0] else ''}")
    print(arguments.output)
    return 0


def compare(
    learned: Sequence[str],
    held_out: Sequence[str],
    choices: Sequence[str],
    vocab_size: int,
    keep: Callable[[str], None],
) -> dict[str, float]:
    """Train one tokenizer for each way to split, equal otherwise; return bytes of `held_out` to a token.

    `keep` gets the first definition. A denser one spends fewer tokens on the same code.
    """
    table = {}
    for number, splits in enumerate(choices):
        definition = train_tokenizer(learned, vocab_size=vocab_size, sample_bytes=sys.maxsize, splits=splits)
        if number == 0:
            keep(definition)
        table[splits] = bytes_per_token(definition, held_out)
    return table


def divide(documents: Iterable[SourceDocument], sample_bytes: int) -> tuple[list[str], list[str]]:
    """Return texts to learn from, `sample_bytes` of them, and texts to measure on; which is which depends on the path.

    Raises:
        CorpusError: either is empty.
    """
    learned: list[str] = []
    held_out: list[str] = []
    room, spare = sample_bytes, _MOST_HELD_OUT_BYTES
    for document in documents:
        size = len(document.text.encode("utf-8", "surrogatepass"))
        if _is_held_out(document):
            if size <= spare:
                held_out.append(document.text)
                spare -= size
        else:
            learned.append(document.text)
            room -= size
        if room <= 0:
            break
    if not learned or not held_out:
        raise CorpusError("the sources hold too little text to learn from one part and measure on another; give more")
    return learned, held_out


def _is_held_out(document: SourceDocument) -> bool:
    name = f"{document.repository}\0{document.path}".encode("utf-8", "surrogatepass")
    return blake2b(name, digest_size=8).digest()[0] * _HELD_OUT < 256


def _write(arguments: argparse.Namespace, definition: str) -> None:
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(definition, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {arguments.output}: {error.strerror or error}") from error
