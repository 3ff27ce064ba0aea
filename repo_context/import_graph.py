"""Import statements to files of the same repository, and the graph that they make.

Every language's rule works on the set of paths alone, plus a few settings files (`SETTINGS_FILES`); nothing is
executed and nothing outside the repository is looked at. An import that leads out of it resolves to nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from posixpath import normpath

from repo_context.languages import language_of
from repo_context.syntax import Import

SETTINGS_FILES = ("tsconfig.json", "jsconfig.json", "package.json", "go.mod")
"""Names of the files whose text helps to resolve imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImport:
    """One file that an import statement leads to."""

    target: str
    """Path of the imported file."""
    statement: Import
    """The statement, with those names only that come from `target`."""


class ImportGraph:
    """Which file of a repository imports which; files come and go one by one."""

    def __init__(self, root_name: str = "") -> None:
        """`root_name`: the root folder's own name, for a root that is itself a Python package."""
        self._root_name = root_name
        self._statements: dict[str, tuple[Import, ...]] = {}
        self._settings: dict[str, str] = {}
        self._modules: _ModulePaths | None = None
        self._resolved: dict[str, tuple[ResolvedImport, ...]] = {}
        self._importers: dict[str, set[str]] = {}
        self._unresolved: set[str] | None = None

    def add(self, path: str, statements: tuple[Import, ...]) -> None:
        """Add or replace one file's imports."""
        if path not in self._statements:
            self._forget_all()
        self._statements[path] = statements
        self._forget_one(path)

    def remove(self, path: str) -> None:
        """Take one file out; nothing happens when it is not in."""
        if self._statements.pop(path, None) is not None:
            self._forget_all()

    def set_settings(self, texts: Mapping[str, str]) -> None:
        """Give the text of every settings file by its path; replaces what was given before."""
        if dict(texts) != self._settings:
            self._settings = dict(texts)
            self._forget_all()

    def imports_of(self, path: str) -> tuple[ResolvedImport, ...]:
        """Return what a file imports from the repository, in order of its statements."""
        if path not in self._resolved:
            statements = self._statements.get(path, ())
            self._resolved[path] = tuple(self.resolve(path, statements))
            for item in self._resolved[path]:
                self._importers.setdefault(item.target, set()).add(path)
        return self._resolved[path]

    def resolve(self, path: str, statements: Iterable[Import]) -> list[ResolvedImport]:
        """Resolve statements as if they stood in the file `path`; a file never imports itself."""
        if self._modules is None:
            self._modules = _ModulePaths(self._statements, self._settings, self._root_name)
        return [
            item for statement in statements for item in self._modules.resolve(path, statement) if item.target != path
        ]

    def importers_of(self, path: str) -> set[str]:
        """Return the files that import a file."""
        self._resolve_all()
        return self._importers.get(path, set())

    def files_beside(self, path: str) -> list[str]:
        """Return the files in the same folder, the file itself among them if it is in."""
        return self._paths().by_folder.get(path.rpartition("/")[0], [])

    def depends_on(self) -> dict[str, list[str]]:
        """Return every file's imported files in order of path: the second argument of `order_files`."""
        self._resolve_all()
        return {path: sorted({item.target for item in self._resolved[path]}) for path in sorted(self._statements)}

    def edges(self) -> int:
        """Return the number of pairs (file, imported file)."""
        return sum(len(targets) for targets in self.depends_on().values())

    def _paths(self) -> "_ModulePaths":
        if self._modules is None:
            self._modules = _ModulePaths(self._statements, self._settings, self._root_name)
        return self._modules

    def _resolve_all(self) -> None:
        if self._unresolved is None:
            self._unresolved = {path for path in self._statements if path not in self._resolved}
        for path in sorted(self._unresolved):
            self.imports_of(path)
        self._unresolved.clear()

    def _forget_one(self, path: str) -> None:
        if self._unresolved is not None:
            self._unresolved.add(path)
        for item in self._resolved.pop(path, ()):
            self._importers[item.target].discard(path)

    def _forget_all(self) -> None:
        """A file that comes or goes can change what any import leads to."""
        self._modules = None
        self._resolved.clear()
        self._importers.clear()
        self._unresolved = None


def depends_on(imports: Mapping[str, tuple[Import, ...]]) -> dict[str, list[str]]:
    """Return each file's imported files from the imports of all files: path → `FileSyntax.imports`.

    >>> statement = Import(module="b", names=(), alias="", wildcard=False, line=0)
    >>> depends_on({"a.py": (statement,), "b.py": ()})
    {'a.py': ['b.py'], 'b.py': []}
    """
    graph = ImportGraph()
    for path, statements in imports.items():
        graph.add(path, statements)
    return graph.depends_on()


class _ModulePaths:
    """Finds files by the names that import statements call them; built once for a set of paths."""

    def __init__(self, paths: Iterable[str], settings: Mapping[str, str], root_name: str) -> None:
        self.paths = set(paths)
        self.by_name: dict[str, list[str]] = {}
        self.by_folder: dict[str, list[str]] = {}
        for path in sorted(self.paths):
            folder, _, name = path.rpartition("/")
            self.by_name.setdefault(name, []).append(path)
            self.by_folder.setdefault(folder, []).append(path)
        is_package = bool({"__init__.py", "__init__.pyi"} & self.paths)
        self.python = _python_modules(self.paths, root_name if is_package else "")
        self.aliases = _script_aliases(settings)
        self.packages = _script_packages(settings)
        self.go_modules = _go_modules(settings)

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Return the files that one statement leads to."""
        language = language_of(path)
        rule = _RULES.get(language.name) if language else None
        return rule(self, path, statement) if rule else []

    def ending_with(self, tail: str, near: str) -> str | None:
        """Return the file whose path is `tail` or ends with `/tail`; of several the one nearest to `near`."""
        candidates = [
            path for path in self.by_name.get(tail.rpartition("/")[2], ()) if path == tail or path.endswith(f"/{tail}")
        ]
        return _nearest(candidates, near)


_Rule = Callable[[_ModulePaths, str, Import], list[ResolvedImport]]


def _whole(statement: Import, target: str | None) -> list[ResolvedImport]:
    return [] if target is None else [ResolvedImport(target=target, statement=statement)]


def _nearest(candidates: Iterable[str], near: str) -> str | None:
    """Return the candidate that shares most folders with `near`; then the shortest, then the first path."""
    return min(candidates, key=lambda path: (-_shared(path, near), path.count("/"), path), default=None)


def _shared(one: str, other: str) -> int:
    """Return how many leading folders two paths share."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count


def _join(folder: str, relative: str) -> str | None:
    """Join and normalise; None when the result leaves the repository."""
    path = normpath(f"{folder}/{relative}" if folder else relative)
    if path.startswith(("..", "/")):
        return None
    return "" if path == "." else path


# --- Python ---------------------------------------------------------------------------------------------------


def _python_modules(paths: set[str], root_package: str) -> dict[str, list[str]]:
    """Return dotted name → files that it may mean, from every folder that can be a source root.

    A file is known by its name from the repository's root, from the folder above its outermost package, and
    from `src`, `lib` or `python` folders (namespace packages have no `__init__.py` that would say so). When the root
    is itself a package, its files also go by `root_package`, the name of the root folder.
    """
    modules: dict[str, list[str]] = {}
    packages = {path.rpartition("/")[0] for path in paths if _PYTHON_PACKAGE.search(path)}
    for path in sorted(paths):
        if not path.endswith((".py", ".pyi")):
            continue
        stem = path.rpartition(".")[0]
        parts = stem.split("/")
        if parts[-1] == "__init__":
            parts = parts[:-1]
        folder = path.rpartition("/")[0]
        starts = {0}
        depth = len(folder.split("/")) if folder else 0
        while depth and "/".join(folder.split("/")[:depth]) in packages:
            depth -= 1
        starts.add(depth)
        starts.update(place + 1 for place, part in enumerate(parts[:-1]) if part in ("src", "lib", "python"))
        names = {".".join(parts[start:]) for start in starts}
        if root_package:
            names.add(".".join([root_package, *parts]))
        for name in sorted(names - {""}):
            modules.setdefault(name, []).append(path)
    return modules


_PYTHON_PACKAGE = re.compile(r"(^|/)__init__\.pyi?$")


def _resolve_python(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    """Resolve `import a.b` to its module, and each name of `from a import b` to module a.b or else to a."""
    level = len(statement.module) - len(statement.module.lstrip("."))
    find = _relative_python_finder(modules, path, level) if level else _python_finder(modules, path)
    module = statement.module[level:]
    owner = find(module)
    if not statement.names:
        return _whole(statement, owner)
    by_target: dict[str, list[int]] = {}
    for place, imported in enumerate(statement.names):
        submodule = find(f"{module}.{imported.name}" if module else imported.name)
        target = submodule or owner
        if target is not None:
            by_target.setdefault(target, []).append(place)
    return [
        ResolvedImport(
            target=target, statement=statement._replace(names=tuple(statement.names[place] for place in places))
        )
        for target, places in by_target.items()
    ]


def _python_finder(modules: _ModulePaths, path: str) -> Callable[[str], str | None]:
    folder = path.rpartition("/")[0]

    def find(name: str) -> str | None:
        if not name:
            return None
        known = modules.python.get(name)
        if known:
            return _nearest(known, path)
        # A script's own folder is on its path.
        return _python_file(modules, _join(folder, name.replace(".", "/")))

    return find


def _relative_python_finder(modules: _ModulePaths, path: str, level: int) -> Callable[[str], str | None]:
    base = _join(path.rpartition("/")[0], "../" * (level - 1) + ".")

    def find(name: str) -> str | None:
        if base is None:
            return None
        return _python_file(modules, _join(base, name.replace(".", "/") or "."))

    return find


def _python_file(modules: _ModulePaths, stem: str | None) -> str | None:
    if stem is None:
        return None
    package = f"{stem}/" if stem else ""
    candidates = (f"{stem}.py", f"{stem}.pyi", f"{package}__init__.py", f"{package}__init__.pyi")
    return next((candidate for candidate in candidates if candidate in modules.paths), None)


# --- JavaScript, TypeScript -----------------------------------------------------------------------------------

_SCRIPT_EXTENSIONS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".vue", ".svelte")
_WRITTEN_FOR = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
"""TypeScript sources are imported under the extension that they will be compiled to."""


def _resolve_script(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    name = statement.module
    if name.startswith("."):
        return _whole(statement, _script_file(modules, _join(path.rpartition("/")[0], name)))
    for alias in modules.aliases:
        if path.startswith(alias.folder) and (rest := alias.match(name)) is not None:
            for target in alias.targets:
                found = _script_file(modules, _join("", target.replace("*", rest)))
                if found is not None:
                    return _whole(statement, found)
    return _whole(statement, _script_package_file(modules, name))


def _script_file(modules: _ModulePaths, stem: str | None) -> str | None:
    """Find a file as bundlers and TypeScript do: as written, with an extension, as a folder's index."""
    if stem is None:
        return None
    if stem in modules.paths:
        return stem
    base, extension = stem[: -len(PurePosixPath(stem).suffix) or None], PurePosixPath(stem).suffix
    swapped = [base + other for other in _WRITTEN_FOR.get(extension, ())]
    folder = f"{stem}/" if stem else ""
    candidates = (
        *swapped,
        *(stem + ending for ending in _SCRIPT_EXTENSIONS if stem),
        *(f"{folder}index{ending}" for ending in _SCRIPT_EXTENSIONS),
    )
    return next((candidate for candidate in candidates if candidate in modules.paths), None)


def _script_package_file(modules: _ModulePaths, name: str) -> str | None:
    """Find a package of a monorepo: by the name in its package.json, then by its entry point or `src`."""
    for package, (folder, entry) in modules.packages.items():
        if name != package and not name.startswith(f"{package}/"):
            continue
        rest = name[len(package) + 1 :]
        stems = (rest, f"src/{rest}") if rest else (entry, "src", "src/main", "lib", ".")
        for stem in stems:
            found = _script_file(modules, _join(folder, stem)) if stem else None
            if found is not None:
                return found
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alias:
    """One pattern of `compilerOptions.paths`, or of `baseUrl`."""

    folder: str
    """Files below it see the alias; empty or ending in a slash."""
    pattern: str
    targets: tuple[str, ...]

    def match(self, name: str) -> str | None:
        """Return what the pattern's star stands for; None when it does not match."""
        head, star, tail = self.pattern.partition("*")
        if not star:
            return "" if name == head else None
        if len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail):
            return name[len(head) : len(name) - len(tail)]
        return None


def _script_aliases(settings: Mapping[str, str]) -> list[_Alias]:
    """Read `paths` and `baseUrl` of every tsconfig.json and jsconfig.json, the deepest first."""
    aliases: list[_Alias] = []
    for path in sorted(settings, key=lambda path: (-path.count("/"), path)):
        folder, _, name = path.rpartition("/")
        if name not in ("tsconfig.json", "jsconfig.json"):
            continue
        options = _mapping(_read_json(settings[path]).get("compilerOptions"))
        base = options.get("baseUrl")
        root = _join(folder, base if isinstance(base, str) else ".")
        if root is None:
            continue
        below = f"{folder}/" if folder else ""
        for pattern, targets in sorted(_mapping(options.get("paths")).items(), key=lambda item: (-len(item[0]), item)):
            joined = tuple(f"{root}/{target}" for target in _texts(targets))
            aliases.append(_Alias(folder=below, pattern=pattern, targets=joined))
        if isinstance(base, str):
            aliases.append(_Alias(folder=below, pattern="*", targets=(f"{root}/*",)))
    return [
        _Alias(folder=alias.folder, pattern=alias.pattern, targets=tuple(t.lstrip("/") for t in alias.targets))
        for alias in aliases
    ]


def _script_packages(settings: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return package name → (folder, entry point) of every package.json."""
    packages: dict[str, tuple[str, str]] = {}
    for path in sorted(settings):
        folder, _, file = path.rpartition("/")
        if file != "package.json":
            continue
        content = _read_json(settings[path])
        name = content.get("name")
        entry = next((content[key] for key in ("source", "module", "main") if isinstance(content.get(key), str)), "")
        if isinstance(name, str) and name and isinstance(entry, str):
            packages.setdefault(name, (folder, entry))
    return packages


_JSON_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_JSON_LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


def _read_json(text: str) -> Mapping[str, object]:
    """Read JSON with comments and trailing commas; what cannot be read says nothing."""
    for noise in (_JSON_COMMENT, _JSON_LAST_COMMA):
        text = noise.sub(lambda match: match.group(1) or "", text)
    try:
        return _mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


# --- C, C++ ---------------------------------------------------------------------------------------------------


def _resolve_include(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    """Resolve a quoted include from its own folder first; then, and for `<...>`, by the end of the path."""
    name = statement.module
    if name.startswith("<"):
        inner = name.strip("<>")
        # A bare <string.h> is the system's, whatever the repository happens to hold.
        return _whole(statement, modules.ending_with(inner, path) if "/" in inner else None)
    beside = _join(path.rpartition("/")[0], name)
    if beside in modules.paths:
        return _whole(statement, beside)
    tail = _join("", re.sub(r"^(\.\./)+", "", name))
    return _whole(statement, modules.ending_with(tail, path) if tail else None)


# --- Java, PHP, Go, Rust, Ruby, Bash --------------------------------------------------------------------------


def _resolve_java(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    """Resolve `a.b.C` to a file that ends in a/b/C.java; of a static import or nested class, to the class's file."""
    parts = statement.module.split(".")
    if statement.wildcard:
        return []
    for length in range(len(parts), max(len(parts) - 2, 1), -1):
        found = modules.ending_with("/".join(parts[:length]) + ".java", path)
        if found is not None:
            return _whole(statement, found)
    return []


def _resolve_php(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    r"""Resolve an include from its folder, and `A\B\C` to a file that ends in A/B/C.php or, by PSR-4, in B/C.php."""
    if statement.module.startswith("."):
        target = _join(path.rpartition("/")[0], statement.module)
        return _whole(statement, target if target in modules.paths else None)
    parts = statement.module.strip("\\").split("\\")
    if statement.names:
        return [
            item
            for name in statement.names
            for item in _resolve_php(modules, path, statement._replace(module="\\".join([*parts, name.name]), names=()))
        ]
    for start in range(min(len(parts), 3)):
        tail = "/".join(parts[start:]) + ".php"
        if "/" in tail or start == 0:
            found = modules.ending_with(tail, path)
            if found is not None:
                return _whole(statement, found)
    return []


def _go_modules(settings: Mapping[str, str]) -> dict[str, str]:
    """Return module path → folder of every go.mod."""
    modules = {}
    for path in sorted(settings):
        folder, _, name = path.rpartition("/")
        match = re.search(r"^module\s+(\S+)", settings[path], re.MULTILINE) if name == "go.mod" else None
        if match:
            modules[match.group(1).strip('"')] = folder
    return modules


def _resolve_go(modules: _ModulePaths, _: str, statement: Import) -> list[ResolvedImport]:
    """Resolve a package path below a go.mod's module to every file of its folder but tests."""
    for module, folder in modules.go_modules.items():
        if statement.module == module or statement.module.startswith(f"{module}/"):
            package = _join(folder, statement.module[len(module) + 1 :] or ".")
            return [
                ResolvedImport(target=target, statement=statement)
                for target in modules.by_folder.get(package or "", ())
                if target.endswith(".go") and not target.endswith("_test.go")
            ]
    return []


def _resolve_rust(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    """Resolve `mod x;` and `use crate::`, `self::`, `super::` paths to the file of the deepest module that has one."""
    first, *rest = statement.module.split("::")
    folder, _, name = path.rpartition("/")
    own = folder if name in ("mod.rs", "lib.rs", "main.rs") else path.removesuffix(".rs")
    if first == "crate":
        marker = f"/{path}".rfind("/src/")
        base: str | None = path[: marker + 3].rstrip("/") if marker >= 0 else ""
    elif first == "self":
        base = own
    elif first == "super":
        base = _join(own, "..")
        while rest and rest[0] == "super":
            base = _join(base or "", "..")
            rest = rest[1:]
    else:
        return []
    if base is None:
        return []
    for tail in ([*rest, statement.names[0].name], rest) if statement.names else (rest,):
        for length in range(len(tail), 0, -1):
            stem = _join(base, "/".join(tail[:length]))
            for candidate in (f"{stem}.rs", f"{stem}/mod.rs"):
                if candidate in modules.paths:
                    return _whole(statement, candidate)
    return []


def _resolve_ruby(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    name = statement.module if statement.module.endswith(".rb") else f"{statement.module}.rb"
    if name.startswith("."):
        target = _join(path.rpartition("/")[0], name)
        return _whole(statement, target if target in modules.paths else None)
    return _whole(statement, modules.ending_with(f"lib/{name}", path) or modules.ending_with(name, path))


def _resolve_beside(modules: _ModulePaths, path: str, statement: Import) -> list[ResolvedImport]:
    """Resolve a sourced script from its own folder, else by the end of its path."""
    target = _join(path.rpartition("/")[0], statement.module)
    if target in modules.paths:
        return _whole(statement, target)
    tail = _join("", re.sub(r"^(\.\.?/)+", "", statement.module))
    return _whole(statement, modules.ending_with(tail, path) if tail else None)


_RULES: Mapping[str, _Rule] = {
    "python": _resolve_python,
    "javascript": _resolve_script,
    "typescript": _resolve_script,
    "tsx": _resolve_script,
    "c": _resolve_include,
    "cpp": _resolve_include,
    "java": _resolve_java,
    "php": _resolve_php,
    "go": _resolve_go,
    "rust": _resolve_rust,
    "ruby": _resolve_ruby,
    "bash": _resolve_beside,
}
