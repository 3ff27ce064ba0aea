"""How often the selection of snippets changes while a line is typed, with and without keeping it steady, and the cost.

    python -m benchmarks.selection_stability REPOSITORY... [--samples 40] [--seed 1]

Lines of `masked_lines.py` are typed character by character up to the name that is asked for; every keystroke asks for
snippets at 1,024 tokens. A change is another set of snippets than one keystroke before. UIR and DR are taken where the
name begins, so the steady selection pays for what it has kept.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.masked_lines import MaskedLine, Sources, draw
from benchmarks.retrieval_ablations import imports_of
from benchmarks.retrieval_peers import Piece
from benchmarks.retrieval_quality import cost, holds_definition, holds_name
from repo_context.rank import rank
from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet

BUDGET = 1024

_Ask = Callable[..., Sequence[Snippet]]


@dataclass(slots=True)
class Tally:
    """What one way of selecting did."""

    changes: list[bool] = field(default_factory=list)
    unseen: list[bool] = field(default_factory=list)
    definitions: list[bool] = field(default_factory=list)


def main() -> None:
    """Measure and print one line for each way of selecting, over all repositories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=40, help="typed lines in each of the two sets, a repository")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    anew, steady = Tally(), Tally()
    for root in arguments.repositories:
        measure(root, arguments.samples, arguments.seed, anew, steady)
    print(f"{'':24}{'keystrokes':>12}{'changes':>10}{'UIR':>8}{'DR':>8}   at {BUDGET} tokens")
    for name, tally in (("chosen anew each time", anew), ("kept steady", steady)):
        shares = [100 * statistics.fmean(hits) for hits in (tally.changes, tally.unseen, tally.definitions)]
        print(f"{name:24}{len(tally.changes):12}{shares[0]:9.1f}%{shares[1]:8.1f}{shares[2]:8.1f}")


def measure(root: Path, samples: int, seed: int, anew: Tally, steady: Tally) -> None:
    """Type the lines of one repository."""
    sources = Sources(root)
    unseen, any_name = draw(sources, samples, seed)
    with tempfile.TemporaryDirectory() as folder, Repository.open(root, index_folder=Path(folder)) as repository:
        for items, in_unseen in ((unseen, True), (any_name, False)):
            for item in items:
                repository.update(item.path, item.prefix + item.suffix)
                choose = partial(rank, imports=imports_of(item), index=repository.ranking_index())
                _type(item, sources, choose, anew, in_unseen=in_unseen)
                _type(item, sources, repository.snippets_for, steady, in_unseen=in_unseen)
                repository.update(item.path)


def _type(item: MaskedLine, sources: Sources, ask: _Ask, tally: Tally, *, in_unseen: bool) -> None:
    """Type a line from its first character to the name, asking at each."""
    typed = item.prefix.rpartition("\n")[2]
    line = sources.texts[item.path].split("\n")[item.prefix.count("\n")]
    start = len(line) - len(line.lstrip())
    end = max(line.find(item.name, len(typed)), start)
    before: frozenset[tuple[str, int, str]] | None = None
    found: Sequence[Snippet] = ()
    for column in range(start, end + 1):
        prefix = item.prefix[: len(item.prefix) - len(typed)] + line[:column]
        cursor = Cursor(path=item.path, prefix=prefix, suffix=item.suffix)
        found = ask(cursor, budget=BUDGET, count_tokens=cost)
        now = frozenset((snippet.path, snippet.start_line, snippet.text) for snippet in found)
        if before is not None:
            tally.changes.append(now != before)
        before = now
    pieces = [Piece(path=snippet.path, text=snippet.text) for snippet in found]
    if in_unseen:
        tally.unseen.append(holds_name(pieces, item))
    else:
        tally.definitions.append(holds_definition(pieces, item))


if __name__ == "__main__":
    main()
