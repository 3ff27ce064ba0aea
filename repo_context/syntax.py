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
    references: frozenset[str]
    """Names used: called, inherited from, taken as a type or a member."""
    imports: tuple[Import, ...]
    chunks: tuple[LineRange, ...]
    packages: tuple[str, ...] = ()
    """Packages or namespaces that the file says its definitions belong to, as `a.b` or `A\\B`."""


def parse(source: str, grammar: Grammar, lines: Sequence[str] | None = None) -> FileSyntax:
    r"""Parse one file. `source` has `\n` line ends only; rows are counted by them. `lines`: its lines, if at hand.

    Errors: `GrammarMissingError`; `ParseAbandonedError` when it takes more than `MAX_PARSE_SECONDS` of CPU time.

    >>> from repo_context.languages import language_named
    >>> result = parse("from a import b\ndef f(x): return b(x)\n", language_named("python").grammar)
    >>> [definition.signature for definition in result.definitions], result.imports[0].module
    (['def f(x):'], 'a')
    """
    encoded = source.encode("utf-8", "surrogatepass")
    return read_tree(parse_tree(encoded, grammar), encoded, grammar, source.split("\n") if lines is None else lines)


def read_tree(tree: Tree, encoded: bytes, grammar: Grammar, lines: Sequence[str]) -> FileSyntax:
    """Return what a tree says; `encoded` and `lines` are the text that it was made of."""
    found: dict[int, _Found] = {}
    imports: dict[tuple[int, int], _ImportParts] = {}
    trees: dict[int, _Captures] = {}
    packages: list[Node] = []
    for pattern, captures in _matches(tree, encoded, grammar):
        if "name" in captures:
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
        definitions=_definitions(found.values(), encoded),
        references=_references(tree, encoded, grammar),
        imports=tuple(imports[key].build() for key in sorted(imports)),
        chunks=tuple(cut_tree(tree.root_node, lines)),
        packages=_package_names(packages, encoded) if packages else (),
    )


class _Found(NamedTuple):
    node: Node
    start: int
    end: int
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
        names = tuple(dict.fromkeys(self.names)) if self.names else ()
        return Import(self.module, names, self.alias, self.wildcard, self.line)


_Captures: TypeAlias = Mapping[str, list[Node]]
_Matches: TypeAlias = list[tuple[int, dict[str, list[Node]]]]


def parse_tree(encoded: bytes, grammar: Grammar, edited: Tree | None = None) -> Tree:
    """Parse within the time limit; errors as `parse`.

    `edited`: a tree of the text as it was, told of what has changed since; what has not is taken over from it.
    """
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

    def read(offset: int, _: object) -> bytes:
        return encoded[offset : offset + 65536]

    parser = Parser(load_grammar(grammar))
    try:
        if edited is None:
            return parser.parse(read, progress_callback=check)
        return parser.parse(read, edited, progress_callback=check)
    except ValueError as error:
        message = f"parsing took more than {MAX_PARSE_SECONDS:g} s" if overdue else "the parser failed"
        raise ParseAbandonedError(message) from error


def _matches(tree: Tree, encoded: bytes, grammar: Grammar) -> _Matches:
    """Return definitions and imports, those within the grammar's reach of the top, and what its `deeper` leads to."""
    # A progress callback here crashes tree-sitter 0.26.1; the match limit keeps a query's time linear instead.
    cursor = QueryCursor(load_query(grammar).structure, match_limit=MATCH_LIMIT)
    root = tree.root_node
    if grammar.reach is None:
        return cursor.matches(root)
    cursor.set_max_start_depth(grammar.reach)
    matches = cursor.matches(root)
    if grammar.deeper is None:
        return matches + _inside_classes(cursor, matches)
    seen = {node.start_byte for _, captures in matches for nodes in captures.values() for node in nodes}
    cursor.set_max_start_depth(2)
    for statement in re.finditer(grammar.deeper, encoded):
        start = statement.end() - 1
        first = root.descendant_for_byte_range(start, start + 1) if start not in seen else None
        if first is not None and first.parent is not None:
            matches += cursor.matches(first.parent)
    return matches


def _references(tree: Tree, encoded: bytes, grammar: Grammar) -> frozenset[str]:
    query = load_query(grammar).references
    captures = QueryCursor(query, match_limit=MATCH_LIMIT).captures(tree.root_node)
    names = {encoded[node.start_byte : node.end_byte] for node in captures.get("reference", ())}
    # What may as well be a variable is a name of a type when it looks like one; a predicate in the query is far slower.
    types = {encoded[node.start_byte : node.end_byte] for node in captures.get("reference.type", ())}
    names.update(name for name in types if name[:1].isupper())
    return frozenset([name.decode("utf-8", "replace") for name in names])


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
        node = captures[label][0]
        kind = label.partition(".")[2]
        found[name.start_byte] = _Found(node, node.start_byte, node.end_byte, text, kind, parent, pattern)


def _definitions(found: Iterable[_Found], encoded: bytes) -> tuple[Definition, ...]:
    """Order what was found, give each its parent by nesting, and drop scopes that define nothing themselves."""
    result: list[Definition] = []
    around: list[tuple[int, str, str]] = []
    previous = (-1, -1)
    for item in sorted(found, key=lambda item: (item.start, -item.end, item.pattern)):
        while around and around[-1][0] <= item.start:
            around.pop()
        extent = (item.start, item.end)
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
        around.append((item.end, item.name, item.kind or "class"))
        if not item.kind:
            continue
        row = item.node.start_point.row
        end, column = item.node.end_point
        signature = _signature(item, encoded)
        result.append(Definition(item.name, kind, row, end + (column > 0), signature, parent))
    return tuple(result)


def _inside_classes(cursor: QueryCursor, matches: _Matches) -> _Matches:
    """Return what classes hold that lie so deep that they alone were reached; classes in them are looked into too."""
    found: _Matches = []
    bounds: list[int] = []
    classes = [captures[key][0] for _, captures in matches for key in captures if key in _CLASSES]
    for node in sorted(classes, key=lambda node: node.start_byte):
        while bounds and bounds[-1] <= node.start_byte:
            bounds.pop()
        bounds.append(node.end_byte)
        if len(bounds) == 3:
            cursor.set_max_start_depth(CLASS_REACH)
            inside = cursor.matches(node)
            found += inside + _inside_classes(cursor, inside)
    return found


_CLASSES = frozenset({"definition.class", "definition.interface", "definition.enum"})
CLASS_REACH = 4
"""Members of a class, and members of the classes in it, start at most so far below it."""
MATCH_LIMIT = 4096
_MEMBER_OWNERS = frozenset({"class", "interface", "enum"})


def _signature(item: _Found, encoded: bytes) -> str:
    """Return the source from the start of the definition's line up to its body, white space collapsed."""
    body = item.node.child_by_field_name("body")
    end = body.start_byte if body is not None else encoded.find(b"\n", item.start, item.end)
    text = encoded[item.start : end if end >= 0 else item.end].decode("utf-8", "replace")
    before = encoded[encoded.rfind(b"\n", 0, item.start) + 1 : item.start].decode("utf-8", "replace").lstrip()
    if before and len(before) <= 40 and not _ENDS_STATEMENT.search(before):
        text = before + text
    signature = " ".join(text.split())
    if "( " in signature or "[ " in signature or " )" in signature or " ]" in signature:
        signature = _LOOSE.sub(r"\1\2", signature)
    return _shortened(signature)


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
    place = (node.start_byte, 0)
    parts = imports.get(place)
    if parts is None:
        parts = imports[place] = _ImportParts(module, node.start_point.row, [])
    if len(captures) == 1:
        return
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
