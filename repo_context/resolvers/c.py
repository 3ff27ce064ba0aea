"""C and C++: `#include` by the including file's folder, the build's include roots, or the end of the path."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from posixpath import normpath

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, whole
from repo_context.resolvers.reach import Reach
from repo_context.resolvers.settings_text import mapping, read_json, text, texts
from repo_context.syntax import Import

_ROOT_OPTIONS = ("-I", "-iquote", "-isystem", "-idirafter", "/I")

_COMPILE_COMMANDS = ("compile_commands.json", "build/compile_commands.json")
MAX_COMPILE_COMMANDS_BYTES = 16 * 1_048_576
_VOTES = 2000
"""Commands of each file that say where the repository lay."""


class CResolver:
    """Follows includes; which of several conditional ones a build takes is not asked."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._roots_of: dict[str, tuple[str, ...]] = {}
        self._common: tuple[str, ...] | None = None
        self._voters: set[str] = set()
        """Names of the files that say where the repository lay when it was built."""

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

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """Which files there are says where the repository lay when it was built, and so what include roots mean."""
        if self._common is None or self._voters.isdisjoint(file.path.rpartition("/")[2] for file in files):
            return
        before = self._roots_of, self._common
        self._read_roots()
        if before != (self._roots_of, self._common):
            reach.paths.update(self._table.below([""], "c", "cpp"))

    def _roots(self, path: str) -> tuple[str, ...]:
        """Return the include roots of a file; of one that the build does not name (a header), all of them."""
        if self._common is None:
            self._read_roots()
        return self._roots_of.get(path, self._common or ())

    def _read_roots(self) -> None:
        self._roots_of = {}
        self._voters = set()
        for commands in _compile_commands(self._table):
            self._voters.update(_built_file(command).rpartition("/")[2] for command in commands[:_VOTES])
            self._roots_of.update(_include_roots(commands, _top(self._table, commands)))
        counted = Counter(root for roots in self._roots_of.values() for root in roots)
        self._common = tuple(root for root, _ in counted.most_common())


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


def _compile_commands(table: FileTable) -> Iterator[list[Mapping[str, object]]]:
    """Yield the commands of every compile_commands.json."""
    for _, content in table.settings_named("compile_commands.json"):
        entries = read_json(content)
        if isinstance(entries, list):
            yield [mapping(entry) for entry in entries]


def _include_roots(commands: Sequence[Mapping[str, object]], top: str | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (file, include roots), relative to the repository, which lay in the folder `top` when it was built."""
    if top is None:
        return
    for command in commands:
        folder = text(command.get("directory")) or top
        file = _relative(top, _built_file({**command, "directory": folder}))
        found = (
            _relative(top, normpath(root if root.startswith("/") else f"{folder}/{root}"))
            for root in _include_options(command)
        )
        if file is not None:
            yield file, tuple(dict.fromkeys(root for root in found if root is not None))


def _top(table: FileTable, commands: Sequence[Mapping[str, object]]) -> str | None:
    """Return where the repository lay on the machine that built; most files that are known here decide.

    The paths in compile commands are absolute there; that of each file ends with its path here.
    """
    votes: Counter[str] = Counter()
    for command in commands[:_VOTES]:
        absolute = _built_file(command)
        for path in table.by_name.get(absolute.rpartition("/")[2], ()):
            if absolute.endswith(f"/{path}"):
                votes[absolute[: -len(path) - 1]] += 1
    return min(votes, key=lambda top: (-votes[top], len(top)), default=None)


def _built_file(command: Mapping[str, object]) -> str:
    """Return the absolute path of the file that a command compiles."""
    file = text(command.get("file"))
    return normpath(file if file.startswith("/") else f"{text(command.get('directory'))}/{file}")


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
