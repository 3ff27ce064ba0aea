"""The lines of indexed files as they were indexed, read again from disk or from the editor when they are asked for."""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_context.file_record import SkipReason, normal_lines, source_text
from repo_context.text_lines import TextLines

LINES_CACHED = 256
"""Files whose lines are kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is kept in memory about one indexed file, beside its place in the indexes."""

    language: str
    mtime_ns: int
    size: int
    symbols: int
    unparsed: str
    text: str | None
    """The editor's text when it is newer than the file on disk."""


class FileTexts:
    """The texts of the files in `held`, which whoever gave it keeps up to date."""

    def __init__(self, root: Path, held: Mapping[str, Held]) -> None:
        self.stale: set[str] = set()
        """Files that were found to have changed on disk since they were indexed."""
        self._root = root
        self._root_text = str(root).rstrip("/")
        self._files = held
        self._lines: OrderedDict[str, tuple[int, TextLines]] = OrderedDict()
        self._unchanged: dict[str, bool] = {}
        """What `is_as_indexed` found since the question began."""
        self._of_question: dict[str, Sequence[str] | None] = {}

    def start_question(self) -> None:
        """Let each file be looked at again."""
        self._unchanged.clear()
        self._of_question.clear()

    def forget(self, path: str) -> None:
        """Read a file again when it is next asked for."""
        self._lines.pop(path, None)

    def state_of(self, path: str) -> object | None:
        """Return an object that is another one once the file has changed; None when it has gone."""
        held = self._files.get(path)
        return held if held is not None and self._is_unchanged(path, held) else None

    def is_as_indexed(self, path: str) -> bool:
        """Say whether a file is what was indexed, looked at once a question; note to index it again when it is not."""
        unchanged = self._unchanged.get(path)
        if unchanged is None:
            held = self._files.get(path)
            unchanged = self._unchanged[path] = held is not None and self._is_unchanged(path, held)
            if held is not None and not unchanged:
                self.stale.add(path)
        return unchanged

    def lines_in_question(self, path: str) -> Sequence[str] | None:
        """Return `lines_of`, looked up once a question: dozens of snippets are from one file."""
        try:
            return self._of_question[path]
        except KeyError:
            lines = self._of_question[path] = self._lines_read(path) if self.is_as_indexed(path) else None
            return lines

    def lines_of(self, path: str) -> Sequence[str] | None:
        """Return a file's lines as they were indexed; None, and a note to index it again, when it has changed."""
        self._unchanged.pop(path, None)
        return self._lines_read(path) if self.is_as_indexed(path) else None

    def _lines_read(self, path: str) -> Sequence[str] | None:
        held = self._files[path]
        known = self._lines.get(path)
        if known is not None and known[0] == held.mtime_ns:
            self._lines.move_to_end(path)
            return known[1]
        text = self.read(path)
        if text is None:
            self.stale.add(path)
            return None
        lines = TextLines(normal_lines(text))
        self._lines[path] = (held.mtime_ns, lines)
        if len(self._lines) > LINES_CACHED:
            self._lines.popitem(last=False)
        return lines

    def _is_unchanged(self, path: str, held: Held) -> bool:
        if held.text is not None:
            return True
        try:
            # Dozens of times a question: plain text joins much faster than paths do.
            status = os.lstat(f"{self._root_text}/{path}")
        except OSError:
            return False
        return (status.st_mtime_ns, status.st_size) == (held.mtime_ns, held.size)

    def read(self, path: str) -> str | None:
        """Return a file's text, the editor's version before the disk's; None when it has become unreadable."""
        held = self._files.get(path)
        if held is not None and held.text is not None:
            return held.text
        try:
            # Up to twenty times a question: a path object alone would take longer to make than the file to read.
            with open(f"{self._root_text}/{path}", "rb", buffering=0) as file:  # noqa: PTH123
                decoded = source_text(path, file.read())
        except OSError:
            return None
        return None if isinstance(decoded, SkipReason) else decoded
