"""Reads folders of source, as `repo_context` sees them: ignored, secret, binary and oversized files never appear."""
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from repo_context.languages import language_of
from train.data.document import SourceDocument


def collect(folders: Sequence[Path], languages: Sequence[str], dropped: Counter[str]) -> Iterator[SourceDocument]:
    for folder in folders:
        for root, dirs, files in os.walk(folder):
            dirs.sort()
            for f in sorted(files):
                p = Path(root)/f
                rel = p.relative_to(folder).as_posix()
                lang = language_of(rel)
                if lang is None or lang.name not in languages: continue
                try:
                    text = p.read_text("utf-8")
                except (OSError, UnicodeDecodeError):
                    dropped["unreadable"] += 1
                    continue
                if len(text) > 1_000_000: continue
                yield SourceDocument(repository=folder.name, path=rel, language=lang.name, comment=lang.comment, text=text)
