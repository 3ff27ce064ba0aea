"""Draws masked lines from a repository, with the definitions that each of them needs from other files.

The truth owes nothing to `repo_context`: universal-ctags finds the definitions, and regular expressions below resolve
the imports. It goes by names, not types, so a definition counts when its name is used and its file lies within two
import steps; in Java, Kotlin, Go, C# and PHP, files of the same package or namespace count as imported.
"""

import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from posixpath import normpath
from typing import Any

MAX_BYTES = 400_000
MIN_NAME = 3
MAX_NAMESAKES = 3
"""A name that more files within reach define (`get`, `append`) does not say which definition is needed."""
FAMILIES: Mapping[str, str] = {
    ".py": "python", ".ts": "script", ".tsx": "script", ".mts": "script", ".js": "script", ".jsx": "script",
    ".mjs": "script", ".java": "java", ".go": "go", ".rs": "rust", ".cs": "csharp", ".kt": "kotlin", ".php": "php",
}  # fmt: skip
"""File ending → the family of languages whose files can use each other's definitions."""
DEFINING_KINDS = frozenset(
    {"class", "interface", "struct", "enum", "record", "trait", "type", "typedef", "talias", "alias", "implementation"}
    | {"function", "func", "method", "member", "methodSpec", "generator", "property", "macro", "object"}
)
"""Kinds of ctags that count as definitions; variables, fields and parameters do not."""
NOT_DEFINING = frozenset({("Go", "member"), ("Rust", "implementation")})

_BLOCKS = (re.compile(r"/\*.*?\*/", re.DOTALL), re.compile(r"\"\"\".*?\"\"\"|'''.*?'''", re.DOTALL))
"""Block comments; Python's strings of several lines."""
ANY_WORD = re.compile(r"\w+")
_WORD = re.compile(r"[^\W\d]\w*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_NOT_CODE = re.compile(
    r"\s*(?:#|//|/\*|\*|\"\"\"|'''|from\s|import\b|using\s+[\w.]+;|use\s|pub use\s|package\s|namespace\s|mod\s|@|\[|"
    r"export\s.*\sfrom\s)"
)
_LONG_IMPORT = re.compile(
    r"^[ \t]*(?:from\s+[\w.]+\s+import\s*\([^)]*\)|(?:import|export)\s+(?:type\s+)?(?:\w+\s*,\s*)?\{[^}]*\}|"
    r"import\s*\([^)]*\)|(?:pub(?:\([^)]*\))?\s+)?use\s[^;]*;)",
    re.MULTILINE,
)
"""Imports of several lines: with a part of it masked, nothing says what an import is for."""
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        abstract as async await boolean break case catch class const continue declare default delete do else enum export
        extends false final finally fn for from fun function if implements import in instanceof interface let match mod
        new null number object of override package private protected public readonly return static string struct super
        switch this throw throws trait true try type typeof use val var void when where while with yield
        """,
    )
)
"""Words of the languages; after a dot they are names (`builder.default`), elsewhere they use no definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a definition is, and the words of its line up to its name.

    A bare name is followed by up to three more words of its line, or of the next lines when its line has no more.
    """

    path: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLine:
    """A cursor whose line lost its rest, and one name in that rest that other files define."""

    path: str
    prefix: str
    suffix: str
    name: str
    definitions: tuple[Place, ...]


class Sources:
    """The source files of one repository's main language, their definitions and their imports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True).stdout
        names = [name for name in listed.decode().split("\0") if name]
        families = Counter(family_of(name) for name in names if family_of(name))
        self.family = families.most_common(1)[0][0]
        texts = {name: _read(root / name) for name in names if family_of(name) == self.family}
        self.texts: dict[str, str] = {name: text for name, text in sorted(texts.items()) if text}
        self.settings = {
            name: (root / name).read_text("utf-8", "replace")
            for name in names
            if name.rpartition("/")[2] in ("go.mod", "Cargo.toml", "package.json") and (root / name).is_file()
        }
        self._rows_without_code: dict[str, set[int]] = {}

    @cached_property
    def definitions(self) -> dict[str, dict[str, list[Place]]]:
        """Path → name → places, by ctags."""
        found: dict[str, dict[str, list[Place]]] = {path: {} for path in self.texts}
        lines_of = {path: text.split("\n") for path, text in self.texts.items()}
        for tag in self._tags:
            kind = tag["kind"]
            if kind not in DEFINING_KINDS or (tag.get("language"), kind) in NOT_DEFINING:
                continue
            path, name = tag["path"], tag["name"]
            lines = lines_of[path]
            line = lines[tag["line"] - 1] if tag["line"] <= len(lines) else ""
            match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line)
            if match and len(name) >= MIN_NAME and not name.startswith("__"):
                words = ANY_WORD.findall(line[: match.end()])
                if len(words) == 1:
                    after = ANY_WORD.findall(line[match.end() :])
                    after = after or ANY_WORD.findall(" ".join(lines[tag["line"] : tag["line"] + 3]))
                    words += after[:3]
                found[path].setdefault(name, []).append(Place(path=path, words=" ".join(words)))
        return found

    @cached_property
    def own_names(self) -> dict[str, set[str]]:
        """Path → every name that the file itself defines, of whatever kind."""
        names: dict[str, set[str]] = {path: set() for path in self.texts}
        for tag in self._tags:
            names[tag["path"]].add(tag["name"])
        return names

    @cached_property
    def imports(self) -> dict[str, list[str]]:
        """Path → files that it imports, in the order of its statements."""
        resolve = _RESOLVERS[self.family](self)
        return {
            path: [target for target in dict.fromkeys(resolve(path, text)) if target != path]
            for path, text in self.texts.items()
        }

    def rows_without_code(self, path: str) -> set[int]:
        """Return the rows of block comments, of strings and of imports of several lines; remembered."""
        if path not in self._rows_without_code:
            text = self.texts[path]
            rows = self._rows_without_code[path] = set()
            for pattern in (_BLOCKS[self.family == "python"], _LONG_IMPORT):
                for match in pattern.finditer(text):
                    first = text.count("\n", 0, match.start())
                    rows.update(range(first, first + match.group().count("\n") + 1))
        return self._rows_without_code[path]

    def within_two(self, path: str) -> set[str]:
        """Return the files within two import steps of a file."""
        first = set(self.imports[path])
        return (first | {far for near in first for far in self.imports[near]}) - {path}

    @cached_property
    def _tags(self) -> list[dict[str, Any]]:
        """Run ctags over all files."""
        command = [
            "ctags",
            "--output-format=json",
            "--fields=NFnKl",
            "--kinds-all=*",
            "--excmd=number",
            "-L",
            "-",
            "-f",
            "-",
        ]
        output = subprocess.run(
            command, input="\n".join(self.texts), capture_output=True, text=True, cwd=self.root, check=True
        ).stdout
        tags = []
        for row in output.splitlines():
            tag = json.loads(row)
            if tag.get("_type") == "tag" and tag["path"] in self.texts:
                tags.append(tag)
        return tags


def draw(sources: Sources, count: int, seed: int) -> tuple[list[MaskedLine], list[MaskedLine]]:
    """Return the sets U and A, `count` lines each at most, each line once.

    U: the name occurs nowhere else in the file as the cursor sees it. A: any name that another file defines.
    """
    random_numbers = random.Random(seed)
    paths = [path for path in sources.texts if sources.imports[path]]
    unseen: dict[tuple[str, int], MaskedLine] = {}
    any_name: dict[tuple[str, int], MaskedLine] = {}
    if not paths:
        return [], []
    for _ in range(400 * count):
        if len(unseen) >= count and len(any_name) >= count:
            break
        path = random_numbers.choice(paths)
        lines = sources.texts[path].split("\n")
        row = random_numbers.randrange(len(lines))
        masked = list(_mask(sources, path, lines, row, random_numbers.random() < 0.5))
        if not masked:
            continue
        first_unseen = next((item for item in masked if not _occurs(item)), None)
        if first_unseen and len(unseen) < count:
            unseen.setdefault((path, row), first_unseen)
        if len(any_name) < count:
            any_name.setdefault((path, row), masked[random_numbers.randrange(len(masked))])
    return list(unseen.values()), list(any_name.values())


def family_of(path: str) -> str:
    """Return the language family of a path, empty when the protocol does not cover it."""
    if path.endswith((".min.js", ".d.ts", ".g.cs", ".Designer.cs", ".pb.go")):
        return ""
    return FAMILIES.get("." + path.rpartition(".")[2], "")


def _occurs(item: MaskedLine) -> bool:
    return re.search(rf"(?<!\w){re.escape(item.name)}(?!\w)", item.prefix + item.suffix) is not None


def _mask(
    sources: Sources,
    path: str,
    lines: Sequence[str],
    row: int,
    at_first_token: bool,  # noqa: FBT001 -- a coin
) -> Iterator[MaskedLine]:
    """Yield one masked line for each cross-file name in a line."""
    line = lines[row]
    if len(line.strip()) < 6 or _NOT_CODE.match(line) or row in sources.rows_without_code(path):
        return
    code = _STRING.sub(lambda match: '"' + " " * (len(match.group()) - 2) + '"', line)
    code = re.split(r"//|\s#\s", code)[0]
    near = sources.within_two(path)
    for match in _WORD.finditer(code):
        name = match.group()
        if len(name) < MIN_NAME or name in sources.own_names[path]:
            continue
        if name in _RESERVED and not code[: match.start()].rstrip().endswith((".", "::", "->")):
            continue
        places = [place for other in near for place in sources.definitions[other].get(name, ())]
        if places and len({place.path for place in places}) <= MAX_NAMESAKES:
            column = len(line) - len(line.lstrip()) if at_first_token else match.start()
            yield MaskedLine(
                path=path,
                prefix="\n".join([*lines[:row], line[:column]]),
                suffix="\n".join(["", *lines[row + 1 :]]),
                name=name,
                definitions=tuple(places),
            )


def _read(path: Path) -> str:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return ""
    return path.read_text("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


# --- imports, one coarse rule a family ------------------------------------------------------------------------

_Resolver = Callable[[str, str], Iterator[str]]


def _tails(paths: Mapping[str, str]) -> dict[str, list[str]]:
    """Return every path's last component → paths."""
    tails: dict[str, list[str]] = {}
    for path in paths:
        tails.setdefault(path.rpartition("/")[2], []).append(path)
    return tails


def _closest(candidates: Sequence[str], near: str) -> Iterator[str]:
    """Yield the candidate that shares the longest beginning with `near`."""
    if candidates:
        yield max(
            candidates,
            key=lambda path: (
                sum(1 for _ in _common(path.split("/"), near.split("/"))),
                -len(path),
            ),
        )


def _common(one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    for left, right in zip(one, other, strict=False):
        if left != right:
            return
        yield left


def _python(sources: Sources) -> _Resolver:
    tails = _tails(sources.texts)
    pattern = re.compile(
        r"^[ \t]*(?:from\s+(\.*[\w.]*)\s+import\s+(\([^)]*\)|[^\n#]+)|import\s+([\w., \t]+))", re.MULTILINE
    )

    def files(stem: str, near: str) -> list[str]:
        last = stem.rpartition("/")[2]
        found = [path for path in tails.get(f"{last}.py", ()) if f"/{path}".endswith(f"/{stem}.py")]
        found += [path for path in tails.get("__init__.py", ()) if f"/{path}".endswith(f"/{stem}/__init__.py")]
        return list(_closest(found, near))

    def resolve(path: str, text: str) -> Iterator[str]:
        for match in pattern.finditer(text):
            module, names, plain = match.groups()
            if plain:
                for item in plain.split(","):
                    yield from files(item.split(" as ")[0].strip().replace(".", "/"), path)
                continue
            dots = len(module) - len(module.lstrip("."))
            stem = module[dots:].replace(".", "/")
            if dots:
                folder = path.split("/")[:-dots]
                stem = "/".join([*folder, *([stem] if stem else [])])
            if stem:
                yield from files(stem, path)
            for name in _WORD.findall(re.sub(r"\bas\s+\w+", "", names)):
                yield from files(f"{stem}/{name}" if stem else name, path)

    return resolve


def _script(sources: Sources) -> _Resolver:
    pattern = re.compile(r"(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)[\"']([^\"']+)[\"']")
    packages = {
        name: path.rpartition("/")[0]
        for path, text in sources.settings.items()
        if path.endswith("package.json") and (name := _first(r'"name"\s*:\s*"([^"]+)"', text))
    }

    def resolve(path: str, text: str) -> Iterator[str]:
        for target in pattern.findall(text):
            stems = []
            if target.startswith("."):
                stems.append(normpath(f"{path.rpartition('/')[0]}/{target}").lstrip("/"))
            for package, folder in packages.items():
                if target == package or target.startswith(f"{package}/"):
                    rest = target[len(package) :].strip("/")
                    stems += [normpath(f"{folder}/{middle}/{rest}").lstrip("/") for middle in ("", "src")]
            for stem in stems:
                bare = re.sub(r"\.[mc]?jsx?$", "", stem)
                endings = ("", ".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", "/index.ts", "/index.tsx", "/index.js")
                found = next((bare + ending for ending in endings if bare + ending in sources.texts), None)
                found = found or (stem if stem in sources.texts else None)
                if found:
                    yield found
                    break

    return resolve


def _java(sources: Sources) -> _Resolver:
    tails = _tails(sources.texts)
    package_of = {path: _first(r"^\s*package\s+([\w.]+)", text) for path, text in sources.texts.items()}
    members: dict[str, list[str]] = {}
    for path, package in package_of.items():
        members.setdefault(package, []).append(path)

    def resolve(path: str, text: str) -> Iterator[str]:
        for target in re.findall(r"^\s*import\s+(?:static\s+)?([\w.]+)", text, re.MULTILINE):
            parts = target.split(".")
            for length in range(len(parts), max(len(parts) - 3, 0), -1):
                stem = "/".join(parts[:length])
                found = [
                    other for other in tails.get(f"{parts[length - 1]}.java", ()) if other.endswith(f"{stem}.java")
                ]
                if found:
                    yield from _closest(found, path)
                    break
        yield from members[package_of[path]]

    return resolve


def _go(sources: Sources) -> _Resolver:
    folders: dict[str, list[str]] = {}
    for path in sources.texts:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    modules = {
        _first(r"^module\s+(\S+)", text): path.rpartition("/")[0]
        for path, text in sources.settings.items()
        if path.endswith("go.mod")
    }

    def resolve(path: str, text: str) -> Iterator[str]:
        for target in re.findall(r"\"([\w./-]+)\"", text.partition("\nfunc ")[0]):
            for module, folder in modules.items():
                if target == module or target.startswith(f"{module}/"):
                    inner = normpath(f"{folder}/{target[len(module) :]}").strip("/").removeprefix(".")
                    yield from (other for other in folders.get(inner, ()) if not other.endswith("_test.go"))
        yield from folders[path.rpartition("/")[0]]

    return resolve


def _rust(sources: Sources) -> _Resolver:
    crates = {
        name.replace("-", "_"): f"{path.rpartition('/')[0]}/src".lstrip("/")
        for path, text in sources.settings.items()
        if path.endswith("Cargo.toml") and (name := _first(r"^\s*name\s*=\s*\"([^\"]+)\"", text))
    }

    def module_file(folder: str, parts: Sequence[str]) -> Iterator[str]:
        for length in range(len(parts), -1, -1):
            stem = "/".join([folder, *parts[:length]])
            for candidate in (f"{stem}.rs", f"{stem}/mod.rs", f"{stem}/lib.rs", f"{stem}/main.rs"):
                if candidate in sources.texts:
                    yield candidate
                    return

    def resolve(path: str, text: str) -> Iterator[str]:
        folder, _, name = path.rpartition("/")
        own = folder if name in ("mod.rs", "lib.rs", "main.rs") else path.removesuffix(".rs")
        crate = path[: f"/{path}".rfind("/src/") + 3] if "/src/" in f"/{path}" else folder
        for module in re.findall(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", text, re.MULTILINE):
            yield from module_file(own, [module])
        for statement in re.findall(r"\buse\s+([^;]+);", text):
            head, _, inner = " ".join(statement.split()).partition("{")
            parts = [part for part in head.strip().split("::") if part]
            if not parts and inner:
                parts = ["crate"]
            first, rest = parts[0].split(" as ")[0], [part.split(" as ")[0] for part in parts[1:]]
            if first in ("crate", *crates):
                base = crate if first == "crate" else crates[first]
            elif first == "self":
                base = own
            elif first == "super":
                base = own.rpartition("/")[0]
                while rest and rest[0] == "super":
                    base, rest = base.rpartition("/")[0], rest[1:]
            else:
                continue
            yield from module_file(base, rest)
            for item in re.findall(r"\w+(?:::\w+)*", inner):
                yield from module_file(base, [*rest, *item.split("::")])

    return resolve


def _csharp(sources: Sources) -> _Resolver:
    namespace_of = {path: _first(r"^\s*namespace\s+([\w.]+)", text) for path, text in sources.texts.items()}
    members: dict[str, list[str]] = {}
    for path, namespace in namespace_of.items():
        members.setdefault(namespace, []).append(path)

    def resolve(path: str, text: str) -> Iterator[str]:
        own = namespace_of[path].split(".") if namespace_of[path] else []
        used = re.findall(r"^\s*(?:global\s+)?using\s+(?:static\s+)?([\w.]+)\s*;", text, re.MULTILINE)
        for namespace in (*used, *(".".join(own[:length]) for length in range(len(own), 0, -1))):
            yield from members.get(namespace, ())

    return resolve


def _kotlin(sources: Sources) -> _Resolver:
    return _by_package(sources, r"^\s*import\s+([\w.]+)\.(\w+)")


def _php(sources: Sources) -> _Resolver:
    return _by_package(sources, r"^use\s+(?:function\s+)?\\?([\w\\]+)\\(\w+)")


def _by_package(sources: Sources, pattern: str) -> _Resolver:
    """Resolve imports of (package, name) to the files of the package that define the name, then the own package."""
    package_of = {
        path: _first(r"^\s*(?:<\?php\s+)?(?:package|namespace)\s+([\w.\\]+)", text)
        for path, text in sources.texts.items()
    }
    members: dict[str, list[str]] = {}
    for path, package in package_of.items():
        members.setdefault(package, []).append(path)

    def resolve(path: str, text: str) -> Iterator[str]:
        for package, name in re.findall(pattern, text, re.MULTILINE):
            yield from (other for other in members.get(package, ()) if name in sources.definitions[other])
        yield from members[package_of[path]]

    return resolve


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match.group(1) if match else ""


_RESOLVERS: Mapping[str, Callable[[Sources], _Resolver]] = {
    "python": _python, "script": _script, "java": _java, "go": _go, "rust": _rust, "csharp": _csharp,
    "kotlin": _kotlin, "php": _php,
}  # fmt: skip
