"""Drops files that hold benchmark text: any shared word 10-gram, or all of a shorter test text (section 2.4).

Test texts of 10 words and more drop a file that shares any 10 words in a row with them; texts of 3 to 9 words drop a
file that holds them exactly; shorter ones say nothing. What the paper leaves open is decided so: words are runs of
`[A-Za-z0-9_]` without regard to case, and an exact match compares the texts with white space collapsed. Benchmarks are
read from where they lie and never copied.
"""

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.document import SourceDocument
from train.data.filter_rules import Rule
from train.data.shingles import n_grams, words_of
from train.errors import CorpusError

STEP = "decontaminate"
LONG = 10
"""Words of an n-gram that must not be shared."""
SHORT = 3
"""Words of the shortest test text that counts."""

_FIELDS = (
    *("prompt", "canonical_solution", "docstring", "text", "code", "question", "answer", "problem", "solution"),
    *("input", "target", "instruction", "output", "groundtruth", "reference_code"),
)
"""Docstrings, questions and solutions, by the names that HumanEval, MBPP, GSM8K, MATH and the like give them."""
_ENDINGS = (".jsonl", ".jsonl.gz", ".json")
_FILTER_BITS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class TestText:
    """A docstring, question or solution of a benchmark."""

    __test__ = False  # not a test case, whatever its name

    benchmark: str
    text: str


def read_benchmarks(sources: Sequence[str]) -> Iterator[TestText]:
    """Yield the test texts of files or folders of JSONL (also `.gz`) or JSON.

    A source is a path, or `PATH:field,field` to name the fields that hold text; without names the usual ones are read,
    and where a row has none of them, every string in it.

    Raises:
        CorpusError: a file cannot be read, or a source holds no test text.
    """
    for source in sources:
        path, _, names = source.partition(":") if not Path(source).exists() else (source, "", "")
        fields = tuple(name for name in names.split(",") if name)
        found = 0
        for file in _files(Path(path)):
            for text in _texts(file, fields):
                found += 1
                yield TestText(benchmark=file.name.split(".")[0], text=text)
        if not found:
            raise CorpusError(f"{source} holds no test text: name its fields, as in {path}:question,answer")


class Contamination:
    """What must not be in the training data."""

    def __init__(self, texts: Iterable[TestText]) -> None:
        long: dict[int, str] = {}
        short: dict[int, list[TestText]] = {}
        for test in texts:
            words = words_of(test.text.encode("utf-8", "surrogatepass"), ignore_case=True).hashes
            if len(words) >= LONG:
                long.update(dict.fromkeys(map(int, n_grams(words, LONG)), test.benchmark))
            elif len(words) >= SHORT:
                collapsed = TestText(benchmark=test.benchmark, text=_collapse(test.text).strip())
                short.setdefault(int(n_grams(words, SHORT)[0]), []).append(collapsed)
        self._long, self._short = long, short
        self._long_hashes, self._short_hashes = _HashSet(long), _HashSet(short)

    def found_in(self, text: str) -> str | None:
        """Return the name of a benchmark that a text shares words with, None when it is clean."""
        encoded = text.encode("utf-8", "surrogatepass")
        words = words_of(encoded, ignore_case=True)
        grams = n_grams(words.hashes, LONG)
        shared = self._long_hashes.places_in(grams)
        if len(shared):
            return self._long[int(grams[shared[0]])]
        if not self._short:
            return None
        grams = n_grams(words.hashes, SHORT)
        for place in self._short_hashes.places_in(grams):
            start = int(words.starts[place])
            for test in self._short[int(grams[place])]:
                reach = 4 * len(test.text) + 64
                around = encoded[max(0, start - reach) : start + reach].decode("utf-8", "ignore")
                if test.text in _collapse(around):
                    return test.benchmark
        return None


def decontamination_rule(contamination: Contamination) -> Rule:
    """Return the rule that drops files with benchmark text in them."""

    def contaminated(document: SourceDocument) -> str | None:
        benchmark = contamination.found_in(document.text)
        return None if benchmark is None else f"holds text of {benchmark}"

    return contaminated


class _HashSet:
    """A set of hashes that is asked for whole arrays: a table of bits rules most out, a search decides the rest."""

    def __init__(self, hashes: Iterable[int]) -> None:
        self._sorted = np.array(sorted(hashes), dtype=np.uint64)
        self._bits = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._bits[self._slot(self._sorted)] = True

    def places_in(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where in an array members of the set stand."""
        candidates = np.flatnonzero(self._bits[self._slot(hashes)])
        if not len(candidates):
            return candidates
        found = np.searchsorted(self._sorted, hashes[candidates])
        found[found == len(self._sorted)] = 0
        places: NDArray[np.int64] = candidates[self._sorted[found] == hashes[candidates]]
        return places

    @staticmethod
    def _slot(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (hashes >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


_SPACE = re.compile(r"\s+")


def _collapse(text: str) -> str:
    return _SPACE.sub(" ", text)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.name.endswith(_ENDINGS))
    return [path]


def _texts(path: Path, fields: Sequence[str]) -> Iterator[str]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
        rows = _rows(content)
        for row in rows:
            yield from _strings(row, fields or _FIELDS, named=bool(fields))
    except (OSError, EOFError, ValueError) as error:
        raise CorpusError(f"cannot read the benchmark {path}: {error}") from error


def _rows(content: bytes) -> list[Any]:
    """Read one JSON value, or one a line: files called `.json` hold either."""
    try:
        return [json.loads(content)]
    except ValueError:
        return [json.loads(line) for line in content.split(b"\n") if line.strip()]


def _strings(value: Any, fields: Sequence[str], *, named: bool) -> Iterator[str]:
    """Yield the strings under the wanted fields, at any depth; all strings of an object that has none of them."""
    if isinstance(value, list):
        for item in value:
            yield from _strings(item, fields, named=named)
    elif isinstance(value, dict):
        chosen = [value[field] for field in fields if isinstance(value.get(field), str)]
        inner = [item for item in value.values() if isinstance(item, (dict, list))]
        if not chosen and not inner and not named:
            chosen = [item for item in value.values() if isinstance(item, str)]
        yield from chosen
        for item in inner:
            yield from _strings(item, fields, named=named)
