"""How often what a cursor needs from other files is in the retrieved text: midfill, its parts, and its peers.

    python -m benchmarks.retrieval_quality REPOSITORY... [--samples 200] [--seed 1] [--processes 1]

Each REPOSITORY is a git checkout. For the masked lines of `masked_lines.py` it prints
UIR, the share of names seen nowhere else in the file that occur in the retrieved text, and
DR, the share of names defined in other files whose definition's line (or the same signature) is in it,
at 512, 1,024 and 2,048 tokens of 3.5 characters, path headers counted. All methods answer the same questions.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from benchmarks.masked_lines import ANY_WORD, MaskedLine, Sources, draw
from benchmarks.retrieval_ablations import ABLATIONS, ablated
from benchmarks.retrieval_peers import PEERS, Piece, fill
from repo_context.repository import Repository
from repo_context.snippet import Cursor

BUDGETS = (512, 1024, 2048)
CHARACTERS_A_TOKEN = 3.5


def cost(text: str) -> int:
    """Count tokens of 3.5 characters, rounded up."""
    return math.ceil(len(text) / CHARACTERS_A_TOKEN)


@dataclass(slots=True)
class Tally:
    """Hits of one method in one repository, by budget."""

    unseen: dict[int, list[bool]] = field(default_factory=lambda: {budget: [] for budget in BUDGETS})
    definitions: dict[int, list[bool]] = field(default_factory=lambda: {budget: [] for budget in BUDGETS})
    milliseconds: list[float] = field(default_factory=list)

    def shares(self) -> list[float]:
        """Return UIR at each budget, then DR, in percent."""
        return [
            100 * statistics.fmean(hits) if hits else math.nan
            for rows in (self.unseen, self.definitions)
            for hits in rows.values()
        ]


def main() -> None:
    """Measure and print one table a repository, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=200, help="masked lines in each of the two sets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--show",
        nargs="*",
        default=["peers", "ablations"],
        choices=["peers", "ablations"],
        help="beside midfill itself",
    )
    parser.add_argument("--processes", type=int, default=1, help="repositories measured at a time")
    arguments = parser.parse_args()
    question = partial(measure, samples=arguments.samples, seed=arguments.seed, shown=arguments.show)
    tables = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for measured in pool.map(question, arguments.repositories):
            print(f"\n{measured.title}")
            _print(measured.shares, measured.milliseconds)
            tables.append(measured.shares)
    if len(tables) > 1:
        print(f"\nmean of {len(tables)} repositories")
        _print({name: _mean([table[name] for table in tables]) for name in tables[0]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one repository gave."""

    title: str
    shares: dict[str, list[float]]
    """Method → UIR at each budget, then DR, in percent."""
    milliseconds: dict[str, list[float]]


def measure(root: Path, samples: int, seed: int, shown: Sequence[str]) -> Measured:
    """Measure every method on one repository."""
    sources = Sources(root)
    unseen, any_name = draw(sources, samples, seed)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder, Repository.open(root, index_folder=Path(folder)) as repository:
        methods = _methods(sources, repository, shown)
        for items, in_unseen in ((unseen, True), (any_name, False)):
            for item in items:
                repository.update(item.path, item.prefix + item.suffix)
                for name, retrieve in methods.items():
                    tally = tallies.setdefault(name, Tally())
                    _ask(item, retrieve, tally, in_unseen=in_unseen)
                repository.update(item.path)
    return Measured(
        title=f"{root.name}: {len(sources.texts)} {sources.family} files, {len(unseen)} U, {len(any_name)} A",
        shares={name: tally.shares() for name, tally in tallies.items()},
        milliseconds={name: tally.milliseconds for name, tally in tallies.items() if tally.milliseconds},
    )


_Retrieve = Callable[[MaskedLine, int], Sequence[Piece]]


def _methods(sources: Sources, repository: Repository, shown: Sequence[str]) -> dict[str, _Retrieve]:
    def peer(rank: Callable[[Sources, MaskedLine], list[Piece]]) -> _Retrieve:
        @lru_cache(maxsize=1)
        def ranked(item: MaskedLine) -> list[Piece]:
            return rank(sources, item)

        def retrieve(item: MaskedLine, budget: int) -> Sequence[Piece]:
            return fill(ranked(item), budget, cost)

        return retrieve

    def ours(item: MaskedLine, budget: int) -> Sequence[Piece]:
        cursor = Cursor(path=item.path, prefix=item.prefix, suffix=item.suffix)
        found = repository.snippets_for(cursor, budget=budget, count_tokens=cost)
        return [Piece(path=snippet.path, text=snippet.text) for snippet in found]

    methods: dict[str, _Retrieve] = {}
    if "peers" in shown:
        methods |= {name: peer(rank) for name, rank in PEERS.items()}
    methods["midfill"] = ours
    if "ablations" in shown:
        methods |= {name: ablated(sources, repository, part, cost) for name, part in ABLATIONS.items()}
    return methods


def _ask(item: MaskedLine, retrieve: _Retrieve, tally: Tally, *, in_unseen: bool) -> None:
    for budget in BUDGETS:
        began = time.process_time()
        pieces = retrieve(item, budget)
        tally.milliseconds.append(1e3 * (time.process_time() - began))
        if in_unseen:
            tally.unseen[budget].append(holds_name(pieces, item))
        else:
            tally.definitions[budget].append(holds_definition(pieces, item))


def holds_name(pieces: Iterable[Piece], item: MaskedLine) -> bool:
    """Say whether the name asked for occurs in retrieved text."""
    return any(item.name in ANY_WORD.findall(piece.text) for piece in pieces)


def holds_definition(pieces: Iterable[Piece], item: MaskedLine) -> bool:
    """Say whether a definition of the name asked for, or its signature, is in text from the file that defines it."""
    for piece in pieces:
        words = f" {' '.join(ANY_WORD.findall(piece.text))} "
        if any(place.path == piece.path and f" {place.words} " in words for place in item.definitions):
            return True
    return False


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def _print(shares: Mapping[str, Sequence[float]], times: Mapping[str, Sequence[float]] | None = None) -> None:
    budgets = "".join(f"{budget:>7}" for budget in BUDGETS)
    print(f"{'':34}{'UIR at':>7}{budgets[4:]}{'DR at':>10}{budgets[4:]}" + ("      CPU p50/p95 ms" if times else ""))
    for name, values in shares.items():
        cells = [f"{value:7.1f}" for value in values]
        line = f"{name:34}{'':4}{''.join(cells[:3])}   {''.join(cells[3:])}"
        if times and len(times.get(name, ())) > 1:
            cuts = statistics.quantiles(times[name], n=20)
            line += f"   {cuts[9]:8.1f} {cuts[18]:8.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
