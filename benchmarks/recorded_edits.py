"""Real edits out of a repository's history: what was typed where, in the file as it was just before.

    python -m benchmarks.recorded_edits REPOSITORY OUTPUT.jsonl [--edits 60] [--seed 1]

An edit is one hunk of a small commit. Hunks of a commit are taken as made from the top of a file to its end, so that
each finds the earlier ones done. What the commit deleted there is gone before the first key, and what it added is
typed. REPOSITORY may be a bare clone; nothing of it is executed.
"""

import argparse
import json
import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from repo_context.languages import language_of

MAX_FILES = 8
"""Commits that touch more files are merges, renames and reformattings rather than writing."""
MAX_LINES = 25
"""Longer additions were hardly typed in one go."""
MAX_BYTES = 200_000
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEdit:
    """Text that a person put into a file."""

    commit: str
    path: str
    prefix: str
    suffix: str
    typed: str
    """Whole lines, the last without its line end."""


def main() -> None:
    """Write a sample of a repository's edits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--commits", type=int, default=400, help="newest commits to draw from")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    edits = draw(arguments.repository, arguments.edits, commits=arguments.commits, seed=arguments.seed)
    with arguments.output.open("w", encoding="utf-8") as file:
        for edit in edits:
            file.write(json.dumps(asdict(edit)) + "\n")
    print(f"{len(edits)} edits, {sum(len(edit.typed) for edit in edits):,} characters; base {base_of(edits)}")


def read(path: Path) -> list[RecordedEdit]:
    """Read what `main` wrote."""
    return [RecordedEdit(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def draw(repository: Path, count: int, *, commits: int, seed: int) -> list[RecordedEdit]:
    """Return up to `count` edits of parsed languages, at most two of one commit, oldest first."""
    log = _git(repository, "log", "--no-merges", "--format=%H", f"-{commits}").split()
    rng = random.Random(seed)
    drawn: list[RecordedEdit] = []
    for commit in rng.sample(log[:-1], len(log) - 1):
        found = list(edits_of(repository, commit))
        drawn += rng.sample(found, min(2, len(found)))
        if len(drawn) >= count:
            break
    age = {commit: number for number, commit in enumerate(reversed(log))}
    return sorted(drawn[:count], key=lambda edit: age[edit.commit])


def base_of(edits: list[RecordedEdit]) -> str:
    """Return the commit whose parent a repository should be indexed at: the oldest, so that no edit is known."""
    return edits[0].commit if edits else ""


def edits_of(repository: Path, commit: str) -> Iterator[RecordedEdit]:
    """Yield the edits of one commit."""
    names = _git(repository, "show", "--format=", "--name-only", "--diff-filter=M", "--no-renames", commit).split("\n")
    paths = [name for name in names if name]
    if len(paths) > MAX_FILES:
        return
    for path in paths:
        language = language_of(path)
        if language is None or language.grammar is None:
            continue
        before, after = _text(repository, f"{commit}^", path), _text(repository, commit, path)
        if before is None or after is None:
            continue
        diff = _git(repository, "diff", "-U0", "--no-color", "--no-ext-diff", f"{commit}^", commit, "--", path)
        yield from _edits_of_file(commit, path, before, after, diff)


def _edits_of_file(commit: str, path: str, before: str, after: str, diff: str) -> Iterator[RecordedEdit]:
    old, new = before.split("\n"), after.split("\n")
    for line in diff.split("\n"):
        match = _HUNK.match(line)
        if match is None:
            continue
        old_start, old_count = int(match[1]), int(match[2] or 1)
        new_start, new_count = int(match[3]), int(match[4] or 1)
        if not 0 < new_count <= MAX_LINES:
            continue
        first = new_start - 1
        typed = "\n".join(new[first : first + new_count])
        if sum(map(str.isalnum, typed)) < 3:
            continue
        rest = old[old_start + old_count - 1 if old_count else old_start :]
        yield RecordedEdit(
            commit=commit,
            path=path,
            prefix="".join(f"{line}\n" for line in new[:first]),
            suffix="\n" + "\n".join(rest),
            typed=typed,
        )


def _text(repository: Path, commit: str, path: str) -> str | None:
    done = subprocess.run(["git", "-C", str(repository), "show", f"{commit}:{path}"], capture_output=True, check=False)
    if done.returncode or len(done.stdout) > MAX_BYTES or b"\0" in done.stdout or b"\r" in done.stdout:
        return None
    try:
        return done.stdout.decode()
    except UnicodeDecodeError:
        return None


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, check=True, text=True, errors="replace"
    ).stdout


if __name__ == "__main__":
    main()
