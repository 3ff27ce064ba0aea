"""What a repository's latest commits added: lines that a model of its past has not seen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repo_context.languages import language_of
from train.data.programs import run_git
from train.errors import CorpusError

_STEPS_BACK = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""How many commits back the past may end."""
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentChanges:
    """A commit in the past, and what was added from there on."""

    past: str
    """Hash of the commit that the past ends with."""
    until: str
    """The commit that the changes end with, as it was asked for."""
    commits: int
    """First-parent commits since."""
    lines: Mapping[str, frozenset[int]]
    """Path → added lines, 0-based, as `until` numbers them."""


def recent_changes(repository: Path, *, least_lines: int, until: str = "HEAD") -> RecentChanges:
    """Go back from `until` through first parents until at least `least_lines` lines of source were added since.

    Raises:
        CorpusError: it is no git repository, or its history holds too few lines.
    """
    if _git(repository, "rev-parse", "--is-inside-work-tree", "--show-prefix").split("\n")[0] != "true":
        raise CorpusError(f"{repository} is no git repository")
    most = int(_git(repository, "rev-list", "--first-parent", "--count", until)) - 1
    for back in [*(step for step in _STEPS_BACK if step < most), most]:
        lines = added_since(repository, f"{until}~{back}", until) if back > 0 else {}
        if sum(map(len, lines.values())) >= least_lines:
            past = _git(repository, "rev-parse", f"{until}~{back}").strip()
            return RecentChanges(past=past, until=until, commits=back, lines=lines)
        if back >= _STEPS_BACK[-1]:
            break
    raise CorpusError(
        f"the history of {repository} adds fewer than {least_lines} lines of source that a model could be judged by"
    )


def added_since(repository: Path, past: str, until: str = "HEAD") -> dict[str, frozenset[int]]:
    """Return path → lines (0-based, as `until` numbers them) that source files have gained since the commit `past`.

    Raises:
        CorpusError: git knows no such commit.
    """
    diff = _git(
        repository,
        "diff",
        "--unified=0",
        "--no-color",
        "--no-ext-diff",
        "--no-renames",
        "--diff-filter=AM",
        past,
        until,
    )
    lines = {}
    for part in re.split(r"^diff --git ", diff, flags=re.MULTILINE)[1:]:
        path = re.search(r"^\+\+\+ b/(.*?)\t?$", part, re.MULTILINE)
        if path is None or language_of(path[1]) is None:
            continue
        added = frozenset(
            number
            for start, count in _HUNK.findall(part)
            for number in range(int(start) - 1, int(start) - 1 + int(count or 1))
        )
        if added:
            lines[path[1]] = added
    return lines


def _git(repository: Path, *arguments: str) -> str:
    return run_git(repository, *arguments).decode("utf-8", "replace")
