"""Megabytes a second, per core, of every data step, beside the libraries that do the same, on the same text.

    python -m benchmarks.train_data SOURCE... [--megabytes 20] [--benchmark PATH] [--datatrove PYTHON]

Times are CPU seconds of one process, so a busy machine changes them little. The slow peers read a part of the text.
`--datatrove` names an interpreter that has datatrove; its signature step is timed there, on the same texts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from datasketch import MinHash

from engine.tokenizer import Tokenizer
from train.data.collect import collect
from train.data.decontaminate import Contamination, read_benchmarks
from train.data.deduplicate import PERMUTATIONS, near_duplicates, signatures
from train.data.document import SourceDocument
from train.data.filter_rules import apply_rules
from train.data.order_files import order_repository
from train.data.screen_quality import RULES as SCREENING
from train.data.shingles import shingles_of, words_of
from train.data.tally import Tally
from train.tokenizer import SPLITS, BulkTokenizer, bytes_per_token, train_tokenizer

DATATROVE = """
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
texts = json.load(open(sys.argv[1]))
step = MinhashDedupSignature(sys.argv[2], config=MinhashConfig(n_grams=5, num_buckets=25, hashes_per_bucket=10))
step.get_signature(step.get_shingles("a b c d e f"))
started = time.process_time()
for text in texts:
    step.get_signature(step.get_shingles(text))
print(time.process_time() - started)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--benchmark", action="append", default=[])
    parser.add_argument("--datatrove", type=Path)
    arguments = parser.parse_args()
    documents = read(arguments.sources, arguments.megabytes)
    texts = [document.text for document in documents]
    print(f"{len(documents):,} files, {_megabytes(texts):.1f} MB")
    cleaning(documents, texts, arguments.benchmark)
    deduplication(texts, arguments.datatrove)
    tokenizing(texts)


def read(sources: Sequence[str], megabytes: float) -> list[SourceDocument]:
    """Return the first files of the sources that the rules keep."""
    documents, size = [], 0.0
    for document in apply_rules(collect(sources, [], Tally()), Tally()):
        documents.append(document)
        size += len(document.text.encode()) / 1e6
        if size >= megabytes:
            break
    return documents


def cleaning(documents: Sequence[SourceDocument], texts: Sequence[str], benchmarks: Sequence[str]) -> None:
    """Time the steps on single files."""
    show("filter rules", texts, lambda: list(apply_rules(documents, Tally())))
    show("order files (parse and resolve)", texts, lambda: order_repository(documents, {}))
    show("screen quality", texts, lambda: list(apply_rules(documents, Tally(), SCREENING)))
    contamination = Contamination(read_benchmarks(benchmarks))
    show(
        f"decontaminate ({len(benchmarks)} benchmarks)", texts, lambda: [contamination.found_in(text) for text in texts]
    )


def deduplication(texts: Sequence[str], datatrove: Path | None) -> None:
    """Time near-duplicate search whole, and its signatures beside the peers'."""
    encoded = [text.encode() for text in texts]

    def whole() -> None:
        near_duplicates(signatures(texts), lambda index: shingles_of(encoded[index]))

    ours = show("deduplicate: shingle, sign, compare, verify", texts, whole)
    show("  shingle and sign", texts, lambda: signatures(texts))
    few = _part(texts, 2)
    peer = show("  datasketch, the same shingles in a loop", few, lambda: [_datasketch(text) for text in few])
    print(f"{'':50} {ours / peer:.1f} x datasketch")
    if datatrove is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(few))
        command = [str(datatrove), "-c", DATATROVE, str(file), folder]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        print(f"  datatrove could not be run: {answer.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return
    rate = _megabytes(few) / float(answer.stdout.split()[-1])
    print(f"{'  datatrove, signature step alone':50} {rate:8.1f} MB/s; ours are {ours / rate:.1f} x")


def tokenizing(texts: Sequence[str]) -> None:
    """Time training and encoding, and compare splits on held-out text."""
    cut = len(texts) * 4 // 5
    learned, held_out = texts[:cut], texts[cut:]
    definitions = {}
    for splits in SPLITS:

        def train(splits: str = splits) -> None:
            definitions[splits] = train_tokenizer(learned, vocab_size=16_000, sample_bytes=10**9, splits=splits)

        show(f"train a BPE of 16,000 tokens, splits of {splits}", learned, train)
        print(f"{'':50} {bytes_per_token(definitions[splits], held_out):8.2f} bytes a token on held-out text")
    plain, bulk = Tokenizer(definitions[SPLITS[0]]), BulkTokenizer(definitions[SPLITS[0]])
    few = _part(held_out, 3)
    show("encode: tokenizers", few, lambda: [plain.encode(text) for text in few])
    show("encode: in bulk", few, lambda: [bulk.encode(text) for text in few])
    equal = all(plain.encode(text) == bulk.encode(text) for text in few)
    print(f"{'':50} ids are {'equal' if equal else 'NOT EQUAL'}")


def show(name: str, texts: Sequence[str], work: Callable[[], object]) -> float:
    """Run once, print and return megabytes a CPU second."""
    started = time.process_time()
    work()
    rate = _megabytes(texts) / (time.process_time() - started)
    print(f"{name:50} {rate:8.1f} MB/s", flush=True)
    return rate


def _datasketch(text: str) -> MinHash:
    words = words_of(text.encode())
    pieces = [text.encode()[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    sketch = MinHash(num_perm=PERMUTATIONS)
    for place in range(len(pieces) - 4):
        sketch.update(b" ".join(pieces[place : place + 5]))
    return sketch


def _part(texts: Sequence[str], megabytes: float) -> list[str]:
    sizes = np.cumsum([len(text.encode()) for text in texts])
    return list(texts[: int(np.searchsorted(sizes, megabytes * 1e6)) + 1])


def _megabytes(texts: Sequence[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


if __name__ == "__main__":
    main()
