"""`midfill graph PATH`: which file imports which, dependencies first; as text, as data or as a picture."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_server.verbs.complaints import BadInputError
from lsp_server.verbs.repository import opened
from repo_context.dependency_order import order_files
from repo_context.snippet import ImportEdge

_SHOWN_NAMES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The import graph of one repository."""

    root: Path
    groups: Sequence[Sequence[str]]
    """Files that hang together, dependencies before dependents; single files last."""
    edges: Sequence[ImportEdge]


def run(arguments: argparse.Namespace) -> int:
    """Print or write the graph; return the exit code."""
    root = Path(arguments.path).expanduser().absolute()
    if not root.is_dir():
        raise BadInputError(f"{root} is no folder; give the folder of a repository")
    with opened(root) as repository:
        edges = repository.import_edges()
        linked = {path for edge in edges for path in (edge.source, edge.target)}
        depends_on = repository.depends_on()
        files = [path for path in depends_on if path in linked or arguments.all]
    if not files:
        raise BadInputError(f"no file of {root} imports another one (or their languages' imports are not read)")
    groups = sorted(order_files(files, depends_on), key=lambda group: (-len(group), group))
    graph = Graph(root=root, groups=groups, edges=edges)
    text = _FORMATS[arguments.format](graph)
    if arguments.output:
        try:
            Path(arguments.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInputError(f"cannot write {arguments.output}: {error.strerror}") from error
        print(f"{arguments.output}: {len(files)} files, {len(edges)} imports", file=sys.stderr)
    else:
        print(text, end="" if text.endswith("\n") else "\n")
    return 0


def _as_text(graph: Graph) -> str:
    imports: dict[str, list[ImportEdge]] = {}
    for edge in graph.edges:
        imports.setdefault(edge.source, []).append(edge)
    used = Counter(edge.target for edge in graph.edges)
    lines = []
    for number, group in enumerate(graph.groups, start=1):
        lines.append(f"group {number}: {len(group)} file{'s' * (len(group) != 1)}, dependencies first")
        for path in group:
            lines.append(f"  {path}" + (f"   (imported by {used[path]})" if used[path] else ""))
            lines += [f"      {edge.target}{_names(edge)}" for edge in imports.get(path, ())]
    lines.append(f"{sum(map(len, graph.groups))} files, {len(graph.edges)} imports, {len(graph.groups)} groups")
    return "\n".join(lines)


def _names(edge: ImportEdge) -> str:
    if not edge.names:
        return ""
    shown = ", ".join(edge.names[:_SHOWN_NAMES])
    return f": {shown}" + (f", {len(edge.names) - _SHOWN_NAMES} more" if len(edge.names) > _SHOWN_NAMES else "")


def _as_json(graph: Graph) -> str:
    return json.dumps(
        {
            "root": str(graph.root),
            "groups": graph.groups,
            "edges": [{"source": edge.source, "target": edge.target, "names": edge.names} for edge in graph.edges],
        },
        indent=2,
    )


def _as_dot(graph: Graph) -> str:
    lines = ["digraph imports {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    lines += [f"  {_quoted(path)};" for group in graph.groups for path in group]
    for edge in graph.edges:
        label = f" [label={_quoted(', '.join(edge.names[:_SHOWN_NAMES]))}]" if edge.names else ""
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{label};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _as_mermaid(graph: Graph) -> str:
    ids = {path: f"n{number}" for number, path in enumerate(path for group in graph.groups for path in group)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[path]}["{path.replace(chr(34), "#quot;")}"]' for path in ids]
    lines += [f"  {ids[edge.source]} --> {ids[edge.target]}" for edge in graph.edges]
    return "\n".join(lines)


def _as_svg(graph: Graph) -> str:
    from lsp_server.verbs import graph_picture

    return graph_picture.svg(graph.root.name, graph.edges)


def _as_html(graph: Graph) -> str:
    from lsp_server.verbs import graph_picture

    return graph_picture.html(graph.root.name, graph.edges)


_FORMATS: Mapping[str, Callable[[Graph], str]] = {
    "text": _as_text,
    "json": _as_json,
    "dot": _as_dot,
    "mermaid": _as_mermaid,
    "svg": _as_svg,
    "html": _as_html,
}
