"""JavaScript and TypeScript: relative paths, index files, tsconfig paths, packages of the same repository."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, whole
from repo_context.resolvers.reach import Reach, word_of
from repo_context.resolvers.reexports import Reexports
from repo_context.resolvers.settings_text import mapping, read_json, text, texts
from repo_context.syntax import Import

_EXTENSIONS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".vue", ".svelte")
_WRITTEN_FOR = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
"""TypeScript sources are imported under the extension that they will be compiled to."""
_BUILT = frozenset(["dist", "build", "lib", "out", "es", "esm", "cjs", "umd"])
"""Folders that a build writes; a package's sources then lie in `src`, or beside."""
_MAX_EXTENDS = 10


class JavaScriptResolver:
    """Finds modules as Node.js, bundlers and TypeScript do, as far as they lie in the repository."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._packages = _packages(table)
        self._aliases = _aliases(table, self._packages)
        self._reexports = Reexports(table, self._plain)
        self._led: dict[str, set[str]] = {}
        """Word of a file's name → modules, as statements write them, that aliases or packages lead there."""

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a statement to its file, and its names through files that only export them again."""
        owner = self._file_of(path, statement.module)
        if not statement.names or owner is None:
            return whole(statement, owner)
        return self._reexports.follow(statement, owner, lambda _: None)

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """Scripts without modules share globals; nobody can say in which order they are loaded."""
        return []

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """Aliases and packages lead to files that have other names than the module."""
        for file in files:
            folder = file.path.rpartition("/")[0]
            for word in (word_of(file.path), word_of(folder)):
                reach.modules.update(self._led.get(word, ()))

    def _plain(self, path: str, statement: Import) -> list[ResolvedImport]:
        return whole(statement, self._file_of(path, statement.module))

    def _file_of(self, path: str, name: str) -> str | None:
        if name.startswith("."):
            return self._find(join(path.rpartition("/")[0], name))
        if name.startswith("#"):
            return self._own_import(path, name)
        for alias in self._aliases:
            if path.startswith(alias.folder) and (rest := _star(alias.pattern, name)) is not None:
                for target in alias.targets:
                    found = self._led_to(name, join("", target.replace("*", rest)))
                    if found is not None:
                        return found
        return self._in_package(name)

    def _find(self, stem: str | None) -> str | None:
        """Find a file as written, with an extension, or as a folder's index."""
        if stem is None:
            return None
        if stem in self._table.files:
            return stem
        extension = PurePosixPath(stem).suffix
        base = stem[: len(stem) - len(extension)]
        folder = f"{stem}/" if stem else ""
        return self._table.first_of(
            (
                *(base + other for other in _WRITTEN_FOR.get(extension, ())),
                *(stem + ending for ending in _EXTENSIONS if stem),
                *(f"{folder}index{ending}" for ending in _EXTENSIONS),
            )
        )

    def _own_import(self, path: str, name: str) -> str | None:
        """Resolve `#name` by the `imports` of the package that the file belongs to."""
        owners = [package for package in self._packages.values() if path.startswith(package.below)]
        for package in sorted(owners, key=lambda package: -len(package.folder)):
            return self._first(name, package, _mapped(package.imports, name))
        return None

    def _in_package(self, name: str) -> str | None:
        """Find a package of the repository by the name in its package.json; then what its `exports` say."""
        parts = name.split("/")
        length = 2 if name.startswith("@") else 1
        package = self._packages.get("/".join(parts[:length]))
        if package is None:
            return None
        rest = "/".join(parts[length:])
        exported = _mapped(package.exports, f"./{rest}" if rest else ".")
        found = self._first(name, package, exported)
        if found is not None:
            return found
        stems = (rest, f"src/{rest}") if rest else (*package.entries, "src", "src/main", "lib", ".")
        return self._first(name, package, stems)

    def _first(self, name: str, package: "_Package", stems: Iterable[str]) -> str | None:
        for stem in stems:
            for place in (stem, *_sources_of(stem)):
                found = self._led_to(name, join(package.folder, place)) if place else None
                if found is not None:
                    return found
        return None

    def _led_to(self, name: str, stem: str | None) -> str | None:
        """Find a file that a name stands for, and remember that it does, whether the file is there yet or not."""
        if stem is not None:
            self._led.setdefault(word_of(stem), set()).add(name)
        return self._find(stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """What a package.json says."""

    folder: str
    entries: tuple[str, ...]
    exports: object
    imports: object

    @property
    def below(self) -> str:
        return f"{self.folder}/" if self.folder else ""


def _packages(table: FileTable) -> dict[str, _Package]:
    """Return package name → package; one without a name goes by its folder, with a colon that no name holds."""
    packages: dict[str, _Package] = {}
    for folder, content in table.settings_named("package.json"):
        read = mapping(read_json(content))
        entries = tuple(entry for key in ("source", "types", "module", "main") if (entry := text(read.get(key))))
        package = _Package(folder=folder, entries=entries, exports=read.get("exports"), imports=read.get("imports"))
        packages.setdefault(text(read.get("name")) or f"{folder}:", package)
    return packages


def _mapped(table: object, name: str) -> Iterator[str]:
    """Yield what `exports` or `imports` give for a name: exact keys first, then the longest pattern."""
    if isinstance(table, (str, list)) or (table and not any(key[:1] in (".", "#") for key in mapping(table))):
        if name == ".":
            yield from _conditions(table, "")
        return
    keys = mapping(table)
    if name in keys:
        yield from _conditions(keys[name], "")
        return
    for key in sorted((key for key in keys if "*" in key), key=lambda key: (-len(key.partition("*")[0]), key)):
        rest = _star(key, name)
        if rest is not None:
            yield from _conditions(keys[key], rest)
            return


def _conditions(value: object, rest: str, depth: int = 0) -> Iterator[str]:
    """Yield every path that a conditional export may stand for, in the order in which it is written."""
    if isinstance(value, str):
        yield value.replace("*", rest)
    elif depth < 10 and isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from _conditions(item, rest, depth + 1)


def _sources_of(stem: str) -> Iterator[str]:
    """Yield where the source of a built file may lie: a repository holds no build results."""
    parts = stem.removeprefix("./").split("/")
    built = next((place for place, part in enumerate(parts[:-1]) if part in _BUILT), None)
    if built is None:
        return
    rest = parts[built + 1 :]
    while len(rest) > 1 and rest[0] in _BUILT:
        rest = rest[1:]
    file = "/".join(rest)
    for ending in (".d.ts", ".d.mts", ".js", ".mjs", ".cjs"):
        if file.endswith(ending):
            file = file.removesuffix(ending)
            break
    head = parts[:built]
    yield "/".join([*head, "src", file])
    yield "/".join([*head, file])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alias:
    """One pattern of `compilerOptions.paths`, or of `baseUrl`."""

    folder: str
    """Files below it see the alias; empty or ending in a slash."""
    pattern: str
    targets: tuple[str, ...]


def _star(pattern: str, name: str) -> str | None:
    """Return what the pattern's star stands for; None when it does not match."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if name == head else None
    if len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail):
        return name[len(head) : len(name) - len(tail)]
    return None


def _aliases(table: FileTable, packages: Mapping[str, _Package]) -> list[_Alias]:
    """Read `paths` and `baseUrl` of every tsconfig and jsconfig, the deepest folder first.

    Within a folder tsconfig.json comes first; its fellows (tsconfig.app.json) are the projects that it refers to.
    """
    configs = dict(_configs(table))
    aliases: list[_Alias] = []
    for path in sorted(configs, key=lambda path: (-path.count("/"), len(path), path)):
        folder = path.rpartition("/")[0]
        below = f"{folder}/" if folder else ""
        patterns, base = _options(path, configs, packages, 0)
        for pattern in sorted(patterns, key=lambda pattern: (-len(pattern.partition("*")[0]), pattern)):
            aliases.append(_Alias(folder=below, pattern=pattern, targets=patterns[pattern]))  # noqa: PERF401 -- one of two
        if base is not None:
            aliases.append(_Alias(folder=below, pattern="*", targets=(f"{base}/*".lstrip("/"),)))
    return aliases


def _configs(table: FileTable) -> Iterator[tuple[str, Mapping[str, object]]]:
    for path, content in table.settings.items():
        name = path.rpartition("/")[2]
        if name.startswith(("tsconfig", "jsconfig")) and name.endswith(".json"):
            yield path, mapping(read_json(content))


def _options(
    path: str, configs: Mapping[str, Mapping[str, object]], packages: Mapping[str, _Package], depth: int
) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """Return (pattern → targets, base) of a config and of those that it extends; its own options win."""
    folder = path.rpartition("/")[0]
    read = configs[path]
    patterns: dict[str, tuple[str, ...]] = {}
    base: str | None = None
    extended = read.get("extends")
    for name in [extended] if isinstance(extended, str) else texts(extended):
        parent = _extended(folder, name, configs, packages)
        if parent is not None and parent != path and depth < _MAX_EXTENDS:
            further, inherited = _options(parent, configs, packages, depth + 1)
            patterns = further or patterns
            base = base if inherited is None else inherited
    options = mapping(read.get("compilerOptions"))
    if isinstance(options.get("baseUrl"), str):
        base = join(folder, text(options["baseUrl"]))
    own = mapping(options.get("paths"))
    root = folder if base is None else base
    if own:
        patterns = {
            pattern: tuple(f"{root}/{target}".lstrip("/") for target in texts(targets))
            for pattern, targets in own.items()
        }
    return patterns, base


def _extended(
    folder: str, name: str, configs: Mapping[str, Mapping[str, object]], packages: Mapping[str, _Package]
) -> str | None:
    """Return the config that `extends` names: a relative path, or one in a package of the repository."""
    if name.startswith("."):
        places = [join(folder, name)]
    else:
        owners = [package for package in packages if name == package or name.startswith(f"{package}/")]
        places = [join(packages[owner].folder, name[len(owner) + 1 :] or "tsconfig.json") for owner in owners]
    for place in places:
        for candidate in (place, f"{place}.json", f"{place}/tsconfig.json"):
            if candidate in configs:
                return candidate
    return None
