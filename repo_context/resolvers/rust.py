"""Rust: the tree of `mod`, `use` paths through it, names passed on by `pub use`, and crates of one workspace."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, whole
from repo_context.resolvers.reach import Reach, word_of
from repo_context.resolvers.reexports import Reexports
from repo_context.resolvers.settings_text import mapping, read_toml, text
from repo_context.syntax import Import

_ROOT_FILES = frozenset({"lib.rs", "main.rs", "build.rs"})
_ROOT_FOLDERS = ("src/bin", "tests", "examples", "benches")
"""Folders each of whose files is the root of a crate of its own."""


class RustResolver:
    """Finds modules by where their files must lie; `#[path]` leads to its file but renames no module."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._reexports = Reexports(table, self._plain)
        self._manifests = _manifests(table)
        programs = {program for manifest in self._manifests for program in manifest.programs}
        self._programs = sorted(programs, key=lambda path: (-path.count("/"), path))
        self._find_packages()

    def _find_packages(self) -> None:
        self._packages = [_package(manifest, self._table) for manifest in self._manifests]
        self._libraries = {package.name: package for package in self._packages}

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve `mod x;` and each name of a `use` to the file that defines it."""
        owner, rest = self._walk(path, statement.module)
        if not statement.names or owner is None or rest:
            return whole(statement, owner)
        return self._reexports.follow(
            statement, owner, lambda name: self._exact(path, f"{statement.module}::{name.name}")
        )

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """A file sees its own names only; paths inside expressions are not followed."""
        return []

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """A module concerns those inside it; the root of a crate also whoever names the crate."""
        paths = {file.path for file in files if file.language == "rust"}
        reach.mention("rust", [f"r#{word_of(path)}" for path in paths])
        reach.below.update(f"{path.removesuffix('.rs')}/" for path in paths)
        roots = {path for path in paths if path.rpartition("/")[2] in _ROOT_FILES or path in self._programs}
        below = [path[: path.rfind("/") + 1] for path in roots]
        before = self._packages
        self._find_packages()
        changed = set(before).symmetric_difference(self._packages)
        for package in changed.union(package for package in before if package.root in paths):
            reach.mention("rust", [package.name])
            below.append(package.below)
        reach.paths.update(self._table.below(below, "rust"))

    def _plain(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve by paths alone, a single name to the module of that name if there is one."""
        if len(statement.names) == 1:
            module = self._exact(path, f"{statement.module}::{statement.names[0].name}")
            if module is not None:
                return whole(statement, module)
        return whole(statement, self._walk(path, statement.module)[0])

    def _exact(self, path: str, module: str) -> str | None:
        """Return the file that is exactly the module which a path names."""
        owner, rest = self._walk(path, module)
        return None if rest else owner

    def _walk(self, path: str, module: str) -> tuple[str | None, tuple[str, ...]]:
        """Return the file of the deepest module on a path, and what is left of the path inside it."""
        if module.startswith("./"):
            return self._table.first_of([join(path.rpartition("/")[0], module)]), ()
        parts = [part.removeprefix("r#") for part in module.split("::") if part]
        if not parts:
            return None, ()
        crate, own = self._place(path)
        if parts[0] in ("crate", "self", "super"):
            return self._deepest(crate, _absolute(own, parts), path)
        # A module that this file declares hides a crate of the same name.
        if self._file(crate, (*own, parts[0])) is not None and self._declares(path, parts[0]):
            return self._deepest(crate, (*own, *parts), path)
        library = self._libraries.get(parts[0])
        if library is not None:
            return self._deepest(library, tuple(parts[1:]), path)
        if self._file(crate, (parts[0],)) is not None:
            return self._deepest(crate, tuple(parts), path)
        return None, ()

    def _declares(self, path: str, name: str) -> bool:
        file = self._table.files.get(path)
        return file is not None and any(item.module == f"self::{name}" for item in file.imports)

    def _deepest(self, crate: "_Crate", parts: tuple[str, ...], path: str) -> tuple[str | None, tuple[str, ...]]:
        for length in range(len(parts), -1, -1):
            found = self._file(crate, parts[:length])
            if found is not None:
                return found, parts[length:]
        own = self._place(path)
        # Modules inside the file itself need no file of their own.
        return (path, parts[len(own[1]) :]) if own[0] == crate and parts[: len(own[1])] == own[1] else (None, ())

    def _file(self, crate: "_Crate", parts: tuple[str, ...]) -> str | None:
        if not parts:
            return self._table.first_of([crate.root] if crate.root else [])
        stem = "/".join([crate.folder, *parts] if crate.folder else parts)
        return self._table.first_of((f"{stem}.rs", f"{stem}/mod.rs"))

    def _place(self, path: str) -> tuple["_Crate", tuple[str, ...]]:
        """Return the crate that a file belongs to and the path of its module there."""
        crate = self._crate(path)
        if path == crate.root:
            return crate, ()
        inner = path[len(crate.folder) + 1 if crate.folder else 0 :].removesuffix(".rs").split("/")
        return crate, tuple(inner[:-1] if inner[-1] in ("mod", "lib", "main") else inner)

    def _crate(self, path: str) -> "_Crate":
        package = next((item for item in self._packages if path.startswith(item.below)), None)
        folder, _, name = path.rpartition("/")
        if package is None:
            marker = f"/{path}".rfind("/src/")
            base = path[: marker + 3] if marker >= 0 else folder
            roots = [join(base, file) for file in ("lib.rs", "main.rs")]
            return _Crate("", "", base, path if name in _ROOT_FILES else self._table.first_of(roots) or "")
        inner = path[len(package.below) :]
        for place in _ROOT_FOLDERS:
            if inner.startswith(f"{place}/"):
                top = f"{package.below}{place}"
                rest = inner[len(place) + 1 :].split("/")
                own_folder = f"{top}/{rest[0]}"
                if len(rest) > 1 and f"{own_folder}/main.rs" in self._table.files:
                    return _Crate("", package.below, own_folder, f"{own_folder}/main.rs")
                return _Crate("", package.below, top, path if len(rest) == 1 else "")
        if path == f"{package.folder}/main.rs":
            return package._replace(root=path)
        return package if path.startswith(f"{package.folder}/") else self._program(path) or package

    def _program(self, path: str) -> "_Crate | None":
        """Return the crate of a program, test or example that a Cargo.toml places in a folder of its own."""
        for root in self._programs:
            folder = root.rpartition("/")[0]
            if path.startswith(f"{folder}/"):
                return _Crate("", "", folder, root)
        return None


class _Crate(NamedTuple):
    """A library, or a program with the same module folder."""

    name: str
    below: str
    """The package's folder; empty or ending in a slash."""
    folder: str
    """Where the modules of the crate's root lie."""
    root: str


def _absolute(own: tuple[str, ...], parts: list[str]) -> tuple[str, ...]:
    """Return a path from the crate's root: `self` stays, `super` goes up, wherever they stand."""
    path = [] if parts[0] == "crate" else list(own)
    for part in parts[parts[0] == "crate" :]:
        if part == "super":
            del path[-1:]
        elif part != "self":
            path.append(part)
    return tuple(path)


class _Manifest(NamedTuple):
    """What a Cargo.toml says."""

    crate: str
    folder: str
    library: str
    """Where the root of the library lies, if there is one."""
    programs: tuple[str, ...]
    """Roots of programs, tests, examples and benchmarks whose place it names."""


def _manifests(table: FileTable) -> list[_Manifest]:
    """Return the packages of every Cargo.toml, the deepest folder first."""
    found = []
    for folder, content in table.settings_named("Cargo.toml"):
        read = read_toml(content)
        name = text(mapping(read.get("package")).get("name"))
        library = mapping(read.get("lib"))
        root = join(folder, text(library.get("path")) or "src/lib.rs")
        if name and root is not None:
            crate = text(library.get("name")) or name.replace("-", "_")
            found.append(_Manifest(crate, folder, root, tuple(_programs(folder, read))))
    return sorted(found, key=lambda item: (-f"{item.folder}/".count("/") if item.folder else 0, item.folder))


def _programs(folder: str, manifest: Mapping[str, object]) -> Iterator[str]:
    for kind in ("bin", "test", "example", "bench"):
        targets = manifest.get(kind)
        for target in targets if isinstance(targets, list) else ():
            place = text(mapping(target).get("path"))
            root = join(folder, place) if place else None
            if root is not None and "/" in root:
                yield root


def _package(manifest: _Manifest, table: FileTable) -> _Crate:
    """Return the library of a package, or else its program."""
    root = manifest.library
    if root not in table.files:
        root = join(manifest.folder, "src/main.rs") or ""
    below = f"{manifest.folder}/" if manifest.folder else ""
    return _Crate(manifest.crate, below, root.rpartition("/")[0], root)
