"""`midfill index PATH`: indexes a repository and says what it found."""

import argparse
import json
from pathlib import Path
from typing import Any

from lsp_server.verbs.complaints import BadInputError
from lsp_server.verbs.repository import opened
from repo_context.snippet import IndexSummary


def run(arguments: argparse.Namespace) -> int:
    """Index, print the summary, return the exit code."""
    root = Path(arguments.path).expanduser().absolute()
    if not root.exists():
        raise BadInputError(f"there is no folder {root}")
    if not root.is_dir():
        raise BadInputError(f"{root} is a file; give the folder of a repository")
    with opened(root) as repository:
        summary = repository.summary()
    if summary.files == 0:
        skipped = f" ({sum(summary.skipped.values())} files were skipped)" if summary.skipped else ""
        raise BadInputError(f"{root} is no repository of source code: nothing to index in it{skipped}")
    print(json.dumps(_as_json(summary), indent=2) if arguments.json else _as_text(summary))
    return 0


def _as_text(summary: IndexSummary) -> str:
    languages = ", ".join(f"{name} {count}" for name, count in _by_count(summary.by_language))
    lines = [
        f"{summary.root}",
        f"  files    {summary.files:>8}   {languages}",
        f"  symbols  {summary.symbols:>8}   definitions by name",
        f"  edges    {summary.edges:>8}   imports between these files",
        f"  chunks   {summary.chunks:>8}   pieces of text to search",
        f"  time     {summary.seconds:>7.2f}s   {summary.reparsed} parsed now, the others taken from the index on disk",
        f"  index    {summary.index_folder}",
    ]
    if summary.skipped:
        lines.append(f"  skipped  {sum(summary.skipped.values()):>8}")
        lines += [f"           {count:>8}   {reason}" for reason, count in _by_count(summary.skipped)]
    return "\n".join(lines)


def _as_json(summary: IndexSummary) -> dict[str, Any]:
    return {
        "root": str(summary.root),
        "files": summary.files,
        "symbols": summary.symbols,
        "edges": summary.edges,
        "chunks": summary.chunks,
        "seconds": round(summary.seconds, 3),
        "reparsed": summary.reparsed,
        "by_language": summary.by_language,
        "skipped": summary.skipped,
        "index_folder": str(summary.index_folder),
    }


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
