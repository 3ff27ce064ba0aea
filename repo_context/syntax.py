"""Definitions, references and imports of one file, read from its syntax tree by our own queries."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tree_sitter import Node, Parser, QueryCursor, Tree

from repo_context.chunks import LineRange, cut_tree
from repo_context.errors import ParseAbandonedError
from repo_context.languages import Grammar, load_grammar, load_query
from repo_context.name_trees import flatten

MAX_SIGNATURE = 360
"""Longest signature kept, in characters."""
MAX_PARSE_SECONDS = 4.0
"""CPU time after which a file is given up: a parser can take very long on text that is not what it expects."""

# These three are named tuples: indexing sends tens of thousands of them through pipes and into the store,
# where a tuple is several times cheaper than a dataclass.


class Definition(NamedTuple):
    """A named thing that a file defines."""

    name: str
    kind: str
    """`class`, `function`, `method`, `field`, `variable`, `interface`, `enum`, `type`, `macro`, `module`, ..."""
    start_line: int
    """First line, 0-based."""
    end_line: int
    """One past the last line, 0-based."""
    signature: str
    """The source up to the body, on one line."""
    parent: str
    """Name of the definition around it; empty at the top of the file."""


class ImportedName(NamedTuple):
    """One name that an import statement takes from a module."""

    name: str
    """As the module calls it; `default` for an ECMAScript default import."""
    alias: str
    """As this file calls it."""


class Import(NamedTuple):
    """One module that a file imports."""

    module: str
    """As it is written: `..pkg.mod`, `./x`, `a.b.C`, `crate::a`, `dir/x.h`."""
    names: tuple[ImportedName, ...]
    alias: str
    """The name the module itself is bound to; empty when it is not renamed."""
    wildcard: bool
    line: int
    """0-based."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSyntax:
    """What one parse of a file yields."""

    definitions: tuple[Definition, ...]
    """In order of their start."""
    references: Mapping[str, Sequence[int]]
    """Name used (called, inherited from, taken as a type or a member) → its lines, 0-based, ascending."""
    imports: tuple[Import, ...]
    chunks: tuple[LineRange, ...]
    packages: tuple[str, ...] = ()
    """Packages or namespaces that the file says its definitions belong to, as `a.b` or `A\\B`."""


def parse(source: str, grammar: Grammar) -> FileSyntax:
    r"""Parse one file. `source` has `\n` line ends only; rows are counted by them.

    Errors: `GrammarMissingError`; `ParseAbandonedError` when it takes more than `MAX_PARSE_SECONDS` of CPU time.

    >>> from repo_context.languages import language_named
    >>> result = parse("from a import b\ndef f(x): return b(x)\n", language_named("python").grammar)
    >>> [definition.signature for definition in result.definitions], dict(result.references)
    (['def f(x):'], {'b': (1,)})
    """
    encoded = source.encode("utf-8", "surrogatepass")
    lines = source.split("\n")
    tree, matches = _run(encoded, grammar)
    found: dict[int, _Found] = {}
    references: dict[str, list[int]] = {}
    imports: dict[tuple[int, int], _ImportParts] = {}
    trees: dict[int, _Captures] = {}
    packages: list[Node] = []
    for pattern, captures in matches:
        if "reference" in captures:
            for node in captures["reference"]:
                references.setdefault(_text(node, encoded), []).append(node.start_point.row)
        elif "name" in captures:
            _collect_definition(found, pattern, captures, encoded)
        elif "import.tree" in captures:
            place = captures["import.tree"][0].start_byte
            if place not in trees or "import.scope" in captures:
                trees[place] = captures
        elif "package" in captures:
            packages.extend(captures["package"])
        else:
            _collect_import(imports, captures, encoded)
    for tree_captures in trees.values():
        _collect_tree(imports, tree_captures, encoded)
    return FileSyntax(
        definitions=_definitions(found.values(), encoded, lines),
        references={name: tuple(sorted(set(rows))) for name, rows in references.items()},
        imports=tuple(imports[key].build() for key in sorted(imports)),
        chunks=tuple(cut_tree(tree.root_node, lines)),
        packages=_package_names(packages, encoded) if packages else (),
    )


class _Found(NamedTuple):
    node: Node
    name: str
    kind: str
    parent: str
    pattern: int


@dataclass(slots=True)
class _ImportParts:
    """One import statement's parts while its matches come in, one name each."""

    module: str
    line: int
    names: list[ImportedName]
    alias: str = ""
    wildcard: bool = False

    def build(self) -> Import:
        return Import(self.module, tuple(dict.fromkeys(self.names)), self.alias, self.wildcard, self.line)


_Captures: TypeAlias = Mapping[str, list[Node]]
_Matches: TypeAlias = list[tuple[int, dict[str, list[Node]]]]


def _run(encoded: bytes, grammar: Grammar) -> tuple[Tree, _Matches]:
    """Parse and query within the time limit."""
    deadline = time.thread_time() + MAX_PARSE_SECONDS
    calls = 0
    overdue = False

    def check(*_: object) -> bool:
        nonlocal calls, overdue
        calls += 1
        # The parser asks every few microseconds, and reading the clock of a thread takes nearly as long.
        if calls % 64 == 0:
            overdue = overdue or time.thread_time() > deadline
        return overdue

    parser = Parser(load_grammar(grammar))
    try:
        tree = parser.parse(lambda offset, _: encoded[offset : offset + 65536], progress_callback=check)
    except ValueError as error:
        message = f"parsing took more than {MAX_PARSE_SECONDS:g} s" if overdue else "the parser failed"
        raise ParseAbandonedError(message) from error
    # A progress callback here crashes tree-sitter 0.26.1; the match limit keeps a query's time linear instead.
    return tree, QueryCursor(load_query(grammar), match_limit=4096).matches(tree.root_node)


def _text(node: Node, encoded: bytes) -> str:
    """Return a node's source; `Node.text` asks the read callback again, which is many times slower."""
    return encoded[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _collect_definition(found: dict[int, _Found], pattern: int, captures: _Captures, encoded: bytes) -> None:
    """Keep one definition a name: of several patterns that match it, the first in the query file."""
    name = captures["name"][0]
    label = next(key for key in captures if key.startswith(("definition", "scope")))
    previous = found.get(name.start_byte)
    if previous is not None and previous.pattern <= pattern:
        return
    parent = _text(captures["parent"][0], encoded) if "parent" in captures else ""
    text = _text(name, encoded)
    if len(text) <= 200:
        found[name.start_byte] = _Found(captures[label][0], text, label.partition(".")[2], parent, pattern)


def _definitions(found: Iterable[_Found], encoded: bytes, lines: Sequence[str]) -> tuple[Definition, ...]:
    """Order what was found, give each its parent by nesting, and drop scopes that define nothing themselves."""
    result: list[Definition] = []
    around: list[tuple[int, str, str]] = []
    previous = (-1, -1)
    for item in sorted(found, key=lambda item: (item.node.start_byte, -item.node.end_byte, item.pattern)):
        node = item.node
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        extent = (node.start_byte, node.end_byte)
        if extent == previous and around:
            # `int a, b;` defines two things side by side.
            around.pop()
        previous = extent
        parent, parent_kind = (around[-1][1], around[-1][2]) if around else ("", "")
        kind = item.kind
        if item.parent:
            parent = item.parent.rpartition("::")[2].partition("<")[0]
        elif kind == "function" and parent_kind in _MEMBER_OWNERS:
            kind = "method"
        around.append((node.end_byte, item.name, item.kind or "class"))
        if not item.kind:
            continue
        end = node.end_point.row + (1 if node.end_point.column else 0)
        signature = _signature(node, encoded, lines)
        result.append(Definition(item.name, kind, node.start_point.row, end, signature, parent))
    return tuple(result)


_MEMBER_OWNERS = frozenset({"class", "interface", "enum"})


def _signature(node: Node, encoded: bytes, lines: Sequence[str]) -> str:
    """Return the source from the start of the definition's line up to its body, white space collapsed."""
    body = node.child_by_field_name("body")
    row, column = node.start_point
    if body is not None:
        text = encoded[node.start_byte : body.start_byte].decode("utf-8", "replace")
    else:
        end = encoded.find(b"\n", node.start_byte, node.end_byte)
        text = encoded[node.start_byte : end if end >= 0 else node.end_byte].decode("utf-8", "replace")
    before = lines[row].encode("utf-8", "surrogatepass")[:column].decode("utf-8", "replace").lstrip()
    if before and len(before) <= 40 and not _ENDS_STATEMENT.search(before):
        text = before + text
    return _shortened(_LOOSE.sub(r"\1\2", " ".join(text.split())))


_LOOSE = re.compile(r"([(\[]) |,? ([)\]])")
"""What is left inside brackets when a signature of several lines becomes one."""


def _shortened(signature: str) -> str:
    """Cut a long signature after one of its parameters."""
    if len(signature) <= MAX_SIGNATURE:
        return signature
    kept = signature[: MAX_SIGNATURE - 5]
    return kept[: kept.rfind(", ") + 1 or len(kept)] + " ..."


_ENDS_STATEMENT = re.compile(r"[;{}()]")


def _collect_import(imports: dict[tuple[int, int], _ImportParts], captures: _Captures, encoded: bytes) -> None:
    """Add one match to its import statement; matches of one statement share the module's place."""
    node, module = _module_of(captures, encoded)
    if node is None or not module:
        return
    parts = imports.setdefault((node.start_byte, 0), _ImportParts(module, node.start_point.row, []))
    alias = _text(captures["import.alias"][0], encoded) if "import.alias" in captures else ""
    if "import.name" in captures:
        # Where a broader pattern took the whole path for a module (Java's static imports), the one with names is right.
        parts.module = module
        name = " ".join(_text(captures["import.name"][0], encoded).split())
        parts.names.append(ImportedName(name, alias or name))
    elif alias:
        parts.alias = alias
    if "import.default" in captures:
        parts.names.append(ImportedName("default", _text(captures["import.default"][0], encoded)))
    if "import.wildcard" in captures:
        parts.wildcard = True


def _collect_tree(imports: dict[tuple[int, int], _ImportParts], captures: _Captures, encoded: bytes) -> None:
    """Add a whole statement of nested names, one import a module; inside inline modules it starts from those."""
    node = captures["import.tree"][0]
    scope = "".join(f"{_text(around, encoded)}::" for around in captures.get("import.scope", ()))
    by_module: dict[str, _ImportParts] = {}
    for place, (module, name, alias, wildcard) in enumerate(flatten(_text(node, encoded))):
        if scope and module.partition("::")[0] in ("self", "super"):
            module = f"self::{scope}{module}"
        parts = by_module.get(module)
        if parts is None:
            parts = by_module[module] = _ImportParts(module, node.start_point.row, [])
            imports[node.start_byte, place] = parts
        parts.wildcard = parts.wildcard or wildcard
        if name:
            parts.names.append(ImportedName(name, alias or name))
        else:
            parts.alias = parts.alias or alias


def _package_names(nodes: Iterable[Node], encoded: bytes) -> tuple[str, ...]:
    """Return full names of packages: one inside another, or after Scala's clause without a body, is part of it."""
    names: list[str] = []
    around: list[tuple[int, str]] = []
    for node in sorted(nodes, key=lambda node: node.start_byte):
        clause = node.parent or node
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        name = "".join(_text(node, encoded).split())
        outer = around[-1][1] if around else ""
        full = f"{outer}.{name}" if outer else name
        if clause.type == "package_clause" and clause.child_by_field_name("body") is None:
            around.append((len(encoded) + 1, full))
            names = [other for other in names if other != outer]
        else:
            around.append((clause.end_byte, full))
        names.append(full)
    return tuple(dict.fromkeys(names))


_SHELL_FOLDER = re.compile(r"^(?:\$\{[^}]*\}|\$\([^)]*\)|\$\w+)/")


def _module_of(captures: _Captures, encoded: bytes) -> tuple[Node | None, str]:
    """Return where a module is named and what it is called; relative paths start with `./`."""
    if "import.module" in captures:
        node = captures["import.module"][0]
        return node, "".join(_text(node, encoded).split())
    if "import.submodule" in captures:
        node = captures["import.submodule"][0]
        return node, f"self::{_text(node, encoded)}"
    if "import.relative" in captures:
        node = captures["import.relative"][0]
        path = _SHELL_FOLDER.sub("", _text(node, encoded).strip("\"'")).lstrip("/")
        return node, path if path.startswith(".") else f"./{path}" if path else ""
    return None, ""
