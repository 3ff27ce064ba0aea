"""How far it reaches when files come or go: which imports must be resolved again, and no more.

An import can lead to a file only if it mentions the file's name, its folder's name where the file stands for the folder
(`index.ts`, `__init__.py`), or a name that the file gives to its package. What a language adds to that, its resolver's
`moved` says.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from sys import intern

from repo_context.name_uses import NameUses
from repo_context.resolvers.file_table import PACKAGE_FAMILIES, FileTable, SourceFile, packages_of
from repo_context.syntax import Import

_SEPARATORS = re.compile(r"[./\\:<>\n]+")
_ENDS_IN_DOTS = re.compile(r"\.[/\\]*$", re.MULTILINE)
_BEFORE_LAST_DOT = re.compile(r"^.*\.(?=[^.\n]+$)", re.MULTILINE)
_BEFORE_LAST_SLASH = re.compile(r"^.*/(?=[^/\n]*[^./\n]$)", re.MULTILINE)
_BEFORE_FILE = {
    "python": _BEFORE_LAST_DOT,
    "jupyter": _BEFORE_LAST_DOT,
    **dict.fromkeys(("javascript", "typescript", "tsx", "c", "cpp", "ruby", "bash"), _BEFORE_LAST_SLASH),
}
"""Languages whose modules name their file last; in others any part of a module may be a file, or a name in one."""
_CIRCLES = {"java": "jvm", "kotlin": "jvm", "scala": "jvm", "python": "python", "jupyter": "python"} | {
    language: language for language in ("csharp", "rust", "swift", "go")
}
"""Languages whose imports lead to files of their own circle alone; those of others may lead to any file."""
_NONE: frozenset[str] = frozenset()
_FOLDER_ITSELF = "."
"""Taken by an import that names no file but a folder on the way up: `import ".."`, `from . import x`."""
_UPWARDS = frozenset({_FOLDER_ITSELF, "crate", "self", "super"})
_STANDS_FOR_FOLDER = frozenset({"index", "__init__", "init", "mod", "lib", "main"})
_NAMED_BY_PACKAGE = frozenset(PACKAGE_FAMILIES) - {"go", "ruby"}
"""Languages in which any name of a package may lead to its file. In Go and Ruby the place of the file matters too."""


@dataclass(slots=True)
class Reach:
    """What the coming or going of some files may concern."""

    words: dict[str, set[str]] = field(default_factory=dict)
    """Circle of languages → words: files of the circle whose imports mention one of them."""
    modules: set[str] = field(default_factory=set)
    """Files with an import of exactly one of these modules, as it is written."""
    names: dict[str, set[str]] = field(default_factory=dict)
    """Family of languages → names: files of the family that use one of them."""
    below: set[str] = field(default_factory=set)
    """Folders, each with a slash at its end or empty: files below that name a folder on the way up."""
    paths: set[str] = field(default_factory=set)
    """Files by name."""

    def mention(self, language: str, words: Iterable[str]) -> None:
        """Add words by which imports mention files of a language."""
        for circle in {_CIRCLES.get(language, ""), ""}:
            self.words.setdefault(circle, set()).update(words)

    def affected(self, table: FileTable, uses: NameUses) -> set[str]:
        """Return the files whose own imports may lead elsewhere."""
        found = {
            path
            for path, file in table.files.items()
            if not self.words.get(_CIRCLES.get(file.language, ""), _NONE).isdisjoint(file.takes)
        }
        found.update(self.paths & table.files.keys())
        if self.modules:
            found.update(self._importing(table))
        if self.below:
            below = tuple(self.below)
            found.update(
                path
                for path, file in table.files.items()
                if path.startswith(below) and not _UPWARDS.isdisjoint(file.takes)
            )
        for family, names in self.names.items():
            using = uses.paths_using(names)
            found.update(path for path in using if path in table.files and table.files[path].family == family)
        return found

    def _importing(self, table: FileTable) -> list[str]:
        words = {word for module in self.modules for word in _SEPARATORS.split(module)}
        return [
            path
            for path, file in table.files.items()
            if not words.isdisjoint(file.takes) and any(item.module in self.modules for item in file.imports)
        ]


def words_taken(statements: Sequence[Import], language: str) -> frozenset[str]:
    """Return the words by which import statements mention files: parts of their modules, and the imported names."""
    if not statements:
        return frozenset()
    names = {imported.name for statement in statements for imported in statement.names}
    modules = "\n".join([statement.module for statement in statements])
    before_file = _BEFORE_FILE.get(language)
    text = "\n".join([before_file.sub("", modules) if before_file else modules, *names])
    words = set(map(intern, _SEPARATORS.split(text)))
    words.discard("")
    if _ENDS_IN_DOTS.search(text):
        words.add(_FOLDER_ITSELF)
    return frozenset(words)


def word_of(path: str) -> str:
    """Return the word by which an import mentions a file or folder: its name up to the first dot.

    >>> word_of("src/cart.spec.ts"), word_of(".eslintrc.js"), word_of("")
    ('cart', 'eslintrc', '')
    """
    return next((part for part in _SEPARATORS.split(path.rpartition("/")[2]) if part), "")


def reach_of(moved: Collection[SourceFile], table: FileTable) -> Reach:
    """Return what files that came or went concern in every language; the table is as it is after that."""
    reach = Reach()
    paths = {file.path for file in moved}
    for file in moved:
        word = word_of(file.path)
        reach.mention(file.language, [word])
        reach.paths.add(file.path)
        if word in _STANDS_FOR_FOLDER:
            folder = file.path.rpartition("/")[0]
            reach.mention(file.language, [word_of(folder)])
            reach.below.add(f"{folder}/" if folder else "")
        if file.language in _NAMED_BY_PACKAGE:
            reach.names.setdefault(file.family, set()).update(file.names)
            reach.mention(file.language, file.names | _packages_that_moved(file, paths, table))
    return reach


def _packages_that_moved(file: SourceFile, moved: set[str], table: FileTable) -> set[str]:
    """Return the last word of each package of a file that no other file gives names to: it may have come or gone."""
    return {
        _SEPARATORS.split(package)[-1]
        for package in packages_of(file)
        if all(path in moved for paths in table.exported(file.family, package).values() for path in paths)
    }
