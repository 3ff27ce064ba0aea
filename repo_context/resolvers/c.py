"""C and C++: `#include` by the including file's folder, the build's include roots, or the end of the path."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from posixpath import normpath

from repo_context.resolvers.file_table import FileTable, ResolvedImport, join, whole
from repo_context.resolvers.settings_text import mapping, read_json, text, texts
from repo_context.syntax import Import

_ROOT_OPTIONS = ("-I", "-iquote", "-isystem", "-idirafter", "/I")

_COMPILE_COMMANDS = ("compile_commands.json", "build/compile_commands.json")
MAX_COMPILE_COMMANDS_BYTES = 16 * 1_048_576


class CResolver:
    """Follows includes; which of several conditional ones a build takes is not asked."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._roots_of: dict[str, tuple[str, ...]] = {}
        self._common: tuple[str, ...] | None = None

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a quoted include from its own folder first; then, and for `<...>`, by include roots and path ends."""
        name = statement.module
        if not name.startswith("<"):
            beside = join(path.rpartition("/")[0], name)
            if beside in self._table.files:
                return whole(statement, beside)
        inner = name.strip("<>")
        for root in self._roots(path):
            found = join(root, inner)
            if found in self._table.files:
                return whole(statement, found)
        if name.startswith("<") and "/" not in inner:
            # A bare <string.h> is the system's, whatever the repository happens to hold.
            return []
        tail = join("", re.sub(r"^(\.\./)+", "", inner))
        return whole(statement, self._table.ending_with(tail, path) if tail else None)

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """Nothing is visible without an include."""
        return []

    def _roots(self, path: str) -> tuple[str, ...]:
        """Return the include roots of a file; of one that the build does not name (a header), all of them."""
        if self._common is None:
            self._roots_of = _compile_commands(self._table)
            counted = Counter(root for roots in self._roots_of.values() for root in roots)
            self._common = tuple(root for root, _ in counted.most_common())
        return self._roots_of.get(path, self._common)


def build_settings(root: Path) -> dict[str, str]:
    """Return path → text of the compile commands in a repository, which are often ignored or too large to index."""
    found = {}
    for path in _COMPILE_COMMANDS:
        file = root / path
        try:
            inside = file.resolve().is_relative_to(root)
            if inside and file.is_file() and file.stat().st_size <= MAX_COMPILE_COMMANDS_BYTES:
                found[path] = file.read_text(encoding="utf-8", errors="replace")
        except (OSError, RuntimeError):
            continue
    return found


def _compile_commands(table: FileTable) -> dict[str, tuple[str, ...]]:
    """Return file → include roots, relative to the repository, from every compile_commands.json.

    Its paths are absolute on the machine that built. Where the repository lay there is learned from the files: the
    path of each ends with its path here.
    """
    roots: dict[str, tuple[str, ...]] = {}
    for _, content in table.settings_named("compile_commands.json"):
        entries = read_json(content)
        commands = [mapping(entry) for entry in entries] if isinstance(entries, list) else []
        top = _top(table, commands)
        if top is None:
            continue
        for command in commands:
            folder = text(command.get("directory")) or top
            file = _relative(top, normpath(f"{folder}/{text(command.get('file'))}"))
            if text(command.get("file")).startswith("/"):
                file = _relative(top, normpath(text(command.get("file"))))
            found = (
                _relative(top, normpath(root if root.startswith("/") else f"{folder}/{root}"))
                for root in _include_options(command)
            )
            if file is not None:
                roots[file] = tuple(dict.fromkeys(root for root in found if root is not None))
    return roots


def _top(table: FileTable, commands: Sequence[Mapping[str, object]]) -> str | None:
    """Return where the repository lay on the machine that built; most files that are known here decide."""
    votes: Counter[str] = Counter()
    for command in commands[:2000]:
        file = text(command.get("file"))
        absolute = normpath(file if file.startswith("/") else f"{text(command.get('directory'))}/{file}")
        for path in table.by_name.get(absolute.rpartition("/")[2], ()):
            if absolute.endswith(f"/{path}"):
                votes[absolute[: -len(path) - 1]] += 1
    return min(votes, key=lambda top: (-votes[top], len(top)), default=None)


def _include_options(command: Mapping[str, object]) -> Iterator[str]:
    arguments = texts(command.get("arguments")) or _split(text(command.get("command")))
    for place, argument in enumerate(arguments):
        for option in _ROOT_OPTIONS:
            if argument == option and place + 1 < len(arguments):
                yield arguments[place + 1]
            elif argument.startswith(option) and len(argument) > len(option):
                yield argument[len(option) :]


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _relative(top: str, absolute: str) -> str | None:
    """Return a path relative to the repository; None when it lies outside."""
    if absolute == top:
        return ""
    return absolute[len(top) + 1 :] if absolute.startswith(f"{top}/") else None
