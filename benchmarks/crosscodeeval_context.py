"""How many of the identifiers that CrossCodeEval asks for are in midfill's context, beside the official retrieval's.

    python -m benchmarks.crosscodeeval_context ITEMS.jsonl CLONES

ITEMS are in the format of amazon-science/cceval with retrieved context; CLONES is a folder with a git clone of each
repository, `OWNER+NAME` or `OWNER+NAME/repo`, bare or not. Each item's repository is unpacked at the item's commit.
Both contexts get the same 512 tokens of 3.5 characters, path headers counted. An item whose commit is in no clone is
left out, and counted.
"""

import argparse
import json
import keyword
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.retrieval_peers import Piece, fill
from benchmarks.retrieval_quality import cost
from repo_context.repository import Repository
from repo_context.snippet import Cursor

BUDGET = 512
_NAME = re.compile(r"[^\W\d]\w*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


@dataclass(slots=True)
class Share:
    """Identifiers found, of those asked for."""

    found: int = 0
    asked: int = 0

    def add(self, names: Iterable[str], pieces: Sequence[Piece]) -> None:
        """Count which names are in the pieces."""
        held = {name for piece in pieces for name in _NAME.findall(piece.text)}
        for name in names:
            self.asked += 1
            self.found += name in held

    def __str__(self) -> str:
        return f"{100 * self.found / max(self.asked, 1):6.1f} % ({self.found} of {self.asked})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path)
    parser.add_argument("clones", type=Path)
    arguments = parser.parse_args()
    by_repository: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in arguments.items.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        by_repository[item["metadata"]["repository"]].append(item)
    clones = sorted(path for path in arguments.clones.iterdir() if path.is_dir())
    shares: dict[tuple[str, str], Share] = defaultdict(Share)
    measured = 0
    for name, items in sorted(by_repository.items()):
        with tempfile.TemporaryDirectory() as folder:
            root = _unpack(name, clones, Path(folder) / "root")
            if root is None:
                print(f"{name}: its commit is in no clone, {len(items)} items left out")
                continue
            with Repository.open(root, index_folder=Path(folder) / "index") as repository:
                for item in items:
                    _measure(item, repository, shares)
                    measured += 1
    print(f"\n{measured} of {sum(map(len, by_repository.values()))} items measured, {BUDGET} tokens of context each")
    for names in ("all identifiers", "those seen nowhere else in the file"):
        for method in ("official retrieval", "midfill"):
            print(f"  {names:38}{method:20}{shares[names, method]}")


def _measure(item: dict[str, Any], repository: Repository, shares: dict[tuple[str, str], Share]) -> None:
    path, prefix, suffix = item["metadata"]["file"], item["prompt"], "\n" + item["right_context"].lstrip("\n")
    repository.update(path, prefix + suffix)
    cursor = Cursor(path=path, prefix=prefix, suffix=suffix)
    ours = [
        Piece(path=snippet.path, text=snippet.text)
        for snippet in repository.snippets_for(cursor, budget=BUDGET, count_tokens=cost)
    ]
    official = fill(
        [Piece(path=chunk["filename"], text=chunk["retrieved_chunk"]) for chunk in item["crossfile_context"]["list"]],
        BUDGET,
        cost,
    )
    names = dict.fromkeys(
        name for name in _NAME.findall(_STRING.sub("", item["groundtruth"])) if not keyword.iskeyword(name)
    )
    seen = set(_NAME.findall(prefix + suffix))
    for method, pieces in (("official retrieval", official), ("midfill", ours)):
        shares["all identifiers", method].add(names, pieces)
        shares["those seen nowhere else in the file", method].add([n for n in names if n not in seen], pieces)


def _unpack(name: str, clones: Sequence[Path], target: Path) -> Path | None:
    """Write the files of the commit that ends the name (`owner-name-hash`) to `target`; None when no clone has it."""
    title, _, commit = name.rpartition("-")
    for clone in clones:
        if not title.endswith(clone.name.partition("+")[2]):
            continue
        git = clone / "repo" if (clone / "repo").is_dir() else clone
        if _succeeds(["git", "-C", str(git), "cat-file", "-e", f"{commit}^{{commit}}"]):
            target.mkdir()
            archive = subprocess.run(["git", "-C", str(git), "archive", commit], capture_output=True, check=True)
            subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)
            return target
    return None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
