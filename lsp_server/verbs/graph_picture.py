"""Draws an import graph as one SVG or HTML file that needs nothing else: in layers, what is imported to the left.

Few files are drawn one by one; more are gathered into folders, as deep as fits the page. Cycles share a layer's order
with the rest: the import that closes one bends back. The HTML page adds a panel that names files and imported names.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from repo_context.dependency_order import order_files
from repo_context.snippet import ImportEdge

MAX_NODES = 48
"""More files than these are gathered into folders, but for those that are imported most."""
MAX_FOLDERS = 26
SWEEPS = 8
"""How often the order within layers is improved from both sides."""
MAX_IN_LAYER = 14
LAYER_GAP = 64
ROW_HEIGHT = 46
MAX_SPREAD = 2.5
BOX_HEIGHT = 34
MARGIN = 36
TOP = 84
CHARACTER = 7.1
"""Mean width of a character at 12.5 px."""
COLOURS = ("#3b6fb6", "#2e8b6f", "#b5652b", "#8457a8", "#b0413e", "#5c7a29", "#a8437f", "#4d6a80", "#9a7b1c", "#3d8ea6")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    name: str
    """Path of a file, or of a folder with a slash at its end."""
    files: int
    imported_by: int
    """Import statements of other nodes' files that lead here."""
    x: float
    y: float
    width: float
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    title: str
    subtitle: str
    nodes: Mapping[str, _Node]
    links: Mapping[tuple[str, str], int]
    """(importing, imported) → number of file pairs."""
    details: Mapping[tuple[str, str], Sequence[ImportEdge]]
    width: float
    height: float


def svg(title: str, edges: Sequence[ImportEdge]) -> str:
    """Return the picture as an SVG document."""
    return _svg(_draw(title, edges))


def html(title: str, edges: Sequence[ImportEdge]) -> str:
    """Return the picture as a page: pointing at a box shows its imports, and a click keeps them."""
    picture = _draw(title, edges)
    details = [
        {
            "from": source,
            "to": target,
            "edges": [[edge.source, edge.target, list(edge.names)] for edge in picture.details[source, target]],
        }
        for source, target in sorted(picture.details)
    ]
    # `</script>` in a file's name must not end the script.
    data = json.dumps(details, separators=(",", ":")).replace("</", "<\\/")
    page = _PAGE.replace("{title}", escape(title)).replace("{width}", str(round(picture.width)))
    return page.replace("{svg}", _svg(picture)).replace("{data}", data)


def _draw(title: str, edges: Sequence[ImportEdge]) -> _Picture:
    files = sorted({path for edge in edges for path in (edge.source, edge.target)})
    node_of = _gather(files, Counter(edge.target for edge in edges))
    details: dict[tuple[str, str], list[ImportEdge]] = {}
    for edge in edges:
        pair = (node_of[edge.source], node_of[edge.target])
        if pair[0] != pair[1]:
            details.setdefault(pair, []).append(edge)
    links = {pair: len(found) for pair, found in details.items()}
    names = sorted(set(node_of.values()))
    layers = _arrange(names, links)
    sizes = Counter(node_of.values())
    nodes, width, height = _place(layers, sizes, links)
    folders = sum(name.endswith("/") for name in names)
    gathered = f", {folders} folders stand for {len(files) - (len(names) - folders)} of the files" if folders else ""
    subtitle = f"{len(files)} files, {len(edges)} imports{gathered}"
    return _Picture(
        title=title, subtitle=subtitle, nodes=nodes, links=links, details=details, width=width, height=height
    )


def _gather(files: Sequence[str], imported: Mapping[str, int]) -> dict[str, str]:
    """Return file → node: the deepest folders that make few enough, but for files imported most, which stay apart."""
    node_of = {path: path for path in files}
    if len(files) <= MAX_NODES:
        return node_of
    for depth in range(max(path.count("/") for path in files), -1, -1):
        node_of = {path: _folder(path, depth) for path in files}
        if len(set(node_of.values())) <= MAX_FOLDERS:
            break
    spare = max(MAX_NODES - len(set(node_of.values())), 0)
    central = sorted(files, key=lambda path: (-imported.get(path, 0), path))[:spare]
    return node_of | {path: path for path in central}


def _folder(path: str, depth: int) -> str:
    folders = path.split("/")[:-1][: max(depth, 1)]
    return "/".join(folders) + "/" if folders else "./"


def _arrange(names: Sequence[str], links: Mapping[tuple[str, str], int]) -> list[list[str]]:
    """Return nodes in layers, what is imported left of what imports it, ordered so that few lines cross."""
    needs: dict[str, list[str]] = {name: [] for name in names}
    for source, target in links:
        needs[source].append(target)
    order = {name: place for place, name in enumerate(name for group in order_files(names, needs) for name in group)}
    level: dict[str, int] = {}
    for name in sorted(names, key=lambda name: order[name]):
        # An import that points forward in the order closes a cycle and must not push its file further right.
        level[name] = max((level[other] + 1 for other in needs[name] if order[other] < order[name]), default=0)
    layers: list[list[str]] = [[] for _ in range(max(level.values(), default=0) + 1)]
    for name in names:
        layers[level[name]].append(name)
    layers = [part for layer in layers for part in _split(layer)]
    neighbours: dict[str, list[str]] = {name: [] for name in names}
    for source, target in links:
        neighbours[source].append(target)
        neighbours[target].append(source)
    for _ in range(SWEEPS):
        for layer in layers:
            heights = {name: place / max(len(other) - 1, 1) for other in layers for place, name in enumerate(other)}
            layer.sort(key=lambda name: (_mean(neighbours[name], heights, heights[name]), name))
    return layers


def _split(layer: list[str]) -> Iterable[list[str]]:
    """Cut a layer that is too high for the page into several of like size."""
    parts = -(-len(layer) // MAX_IN_LAYER)
    return [layer[part::parts] for part in range(parts)]


def _mean(names: Sequence[str], heights: Mapping[str, float], otherwise: float) -> float:
    return sum(heights[name] for name in names) / len(names) if names else otherwise


def _place(
    layers: Sequence[Sequence[str]], sizes: Mapping[str, int], links: Mapping[tuple[str, str], int]
) -> tuple[dict[str, _Node], float, float]:
    """Give every node its box; returns them with the picture's width and height."""
    tops = sorted({_top(name) for layer in layers for name in layer})
    imported = Counter[str]()
    for (_, target), count in links.items():
        imported[target] += count
    tallest = max(map(len, layers), default=1)
    height = TOP + tallest * ROW_HEIGHT + MARGIN
    nodes: dict[str, _Node] = {}
    x: float = MARGIN
    for layer in layers:
        width = max(max(len(_label(name)) * CHARACTER, _NOTE_WIDTH) for name in layer) + 26
        # Few boxes stand further apart, which keeps the lines between layers apart too.
        step = ROW_HEIGHT * min(tallest / len(layer), MAX_SPREAD)
        first = TOP + (tallest * ROW_HEIGHT - len(layer) * step + step - ROW_HEIGHT) / 2
        for place, name in enumerate(layer):
            nodes[name] = _Node(
                name=name,
                files=sizes[name],
                imported_by=imported[name],
                x=x,
                y=first + place * step,
                width=width,
                colour=COLOURS[tops.index(_top(name)) % len(COLOURS)],
            )
        x += width + LAYER_GAP
    return nodes, max(x - LAYER_GAP + MARGIN, 760), height


_NOTE_WIDTH = 148
"""What stands in small letters under a name takes so much."""


def _top(name: str) -> str:
    """Return what decides a node's colour: its first two folders."""
    return "/".join(name.split("/")[:-1][:2])


def _label(name: str) -> str:
    """Return the end of a path, long enough to know it."""
    parts = name.rstrip("/").split("/")
    short = "/".join(parts[-2:]) + ("/" if name.endswith("/") else "")
    return short if len(short) <= 34 else "…" + short[-33:]


def _svg(picture: _Picture) -> str:
    width, height = round(picture.width), round(picture.height)
    most = max(picture.links.values(), default=1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, Segoe UI, DejaVu Sans, sans-serif" role="img" aria-label="{escape(picture.title)}">',
        f'<rect width="{width}" height="{height}" fill="#fbfaf7"/>',
        f'<text x="{MARGIN}" y="38" font-size="20" font-weight="600" fill="#22262b">{escape(picture.title)}</text>',
        f'<text x="{MARGIN}" y="60" font-size="12.5" fill="#6b7280">{escape(picture.subtitle)} · '
        "lines lead left, to what is imported; red ones close a cycle</text>",
    ]
    for (source, target), count in sorted(picture.links.items()):
        parts.append(_line(picture.nodes[source], picture.nodes[target], count, most))
    parts += [_box(node) for _, node in sorted(picture.nodes.items())]
    return "\n".join([*parts, "</svg>"])


def _line(source: _Node, target: _Node, count: int, most: int) -> str:
    """Draw an import from a box's left side to the right side of the box it needs; one that goes right is red."""
    forward = target.x < source.x
    start_x, end_x = (source.x, target.x + target.width) if forward else (source.x + source.width, target.x)
    if target.x == source.x:
        start_x, end_x = source.x + source.width, target.x + target.width
    start_y, end_y = source.y + BOX_HEIGHT / 2, target.y + BOX_HEIGHT / 2
    bend = max(abs(start_x - end_x) * 0.45, 46)
    first = start_x - bend if forward else start_x + bend
    second = end_x + bend if forward or target.x == source.x else end_x - bend
    stroke = source.colour if forward else "#c2413b"
    thickness = 0.9 + 3.2 * (count / most) ** 0.5
    opacity = 0.30 if forward else 0.45
    path = f"M{start_x:.1f} {start_y:.1f}C{first:.1f} {start_y:.1f} {second:.1f} {end_y:.1f} {end_x:.1f} {end_y:.1f}"
    return (
        f'<path class="link" data-from="{escape(source.name)}" data-to="{escape(target.name)}" d="{path}" fill="none" '
        f'stroke="{stroke}" stroke-width="{thickness:.1f}" stroke-opacity="{opacity}"/>'
    )


def _box(node: _Node) -> str:
    files = f"{node.files} file{'s' * (node.files != 1)} · " if node.name.endswith("/") else ""
    times = f"{node.imported_by} times" if node.imported_by > 1 else "once"
    note = f"{files}imported {times}" if node.imported_by else f"{files}imported by none"
    return (
        f'<g class="node" data-name="{escape(node.name)}" tabindex="0"><title>{escape(node.name)}: {note}</title>'
        f'<rect x="{node.x:.1f}" y="{node.y:.1f}" width="{node.width:.1f}" height="{BOX_HEIGHT}" rx="7" fill="#ffffff" '
        f'stroke="{node.colour}" stroke-width="1.3"/>'
        f'<rect x="{node.x:.1f}" y="{node.y:.1f}" width="5" height="{BOX_HEIGHT}" rx="2.5" fill="{node.colour}"/>'
        f'<text x="{node.x + 14:.1f}" y="{node.y + 15:.1f}" font-size="12.5" fill="#22262b">{escape(_label(node.name))}'
        f'</text><text x="{node.x + 14:.1f}" y="{node.y + 27.5:.1f}" font-size="9.5" fill="#7b828c">{note}</text></g>'
    )


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: imports</title>
<style>
  body { margin: 0; background: #fbfaf7; color: #22262b; font: 13px/1.45 system-ui, "Segoe UI", sans-serif; }
  main { display: flex; flex-direction: column; height: 100vh; }
  #picture { flex: 1 1 60vh; overflow: auto; display: flex; }
  #picture svg { width: 100%; height: auto; margin: 0 auto auto; flex: none;
    min-width: calc(var(--width) * .6); max-width: var(--width); }
  aside { flex: 0 1 auto; max-height: 36vh; overflow: auto; padding: 14px 18px; border-top: 1px solid #e3e0d8;
    background: #fff; box-sizing: border-box; }
  #panel { columns: 4 300px; column-gap: 28px; } #panel h2 { column-span: all; }
  aside h2 { font-size: 14px; margin: 0 0 8px; overflow-wrap: anywhere; }
  aside h3 { font-size: 12px; margin: 16px 0 4px; color: #6b7280; font-weight: 600; }
  aside li { overflow-wrap: anywhere; margin: 3px 0; } aside ul { padding-left: 16px; margin: 0; }
  aside small { color: #6b7280; } input { width: 300px; box-sizing: border-box; padding: 7px 9px; margin-bottom: 10px;
    border: 1px solid #cfcbc1; border-radius: 7px; font: inherit; }
  .node { cursor: pointer; } .node:focus { outline: none; } svg.asked .node { opacity: .25; }
  svg.asked .link { stroke-opacity: .04; } svg.asked .link.on { stroke-opacity: .85; }
  svg.asked .node.on { opacity: 1; }
</style>
<main>
<div id="picture" style="--width: {width}px">{svg}</div>
<aside>
<input type="search" placeholder="Find a file or a name" aria-label="Find a file or a name">
<div id="panel"></div>
</aside>
</main>
<script>
const links = {data};
const picture = document.querySelector("svg"), panel = document.getElementById("panel");
let kept = null;
function add(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}
function list(title, rows) {
  if (!rows.length) return;
  add(panel, "h3", `${title} (${rows.length})`);
  const ul = add(panel, "ul", "");
  for (const [path, names] of rows.slice(0, 200)) {
    const li = add(ul, "li", path);
    if (names.length) { li.append(document.createElement("br")); add(li, "small", names.join(", ")); }
  }
}
function mark(shown, pairs) {
  picture.classList.toggle("asked", shown !== null);
  const has = (a, b) => pairs.some(l => l.from === a && l.to === b);
  for (const e of picture.querySelectorAll(".link")) e.classList.toggle("on", has(e.dataset.from, e.dataset.to));
  const isOn = name => shown !== null && shown.has(name);
  for (const e of picture.querySelectorAll(".node")) e.classList.toggle("on", isOn(e.dataset.name));
}
function show(name) {
  panel.textContent = "";
  if (name === null) {
    add(panel, "small", "Point at a box to see its imports; click to keep them.");
    mark(null, []);
    return;
  }
  const out = links.filter(l => l.from === name), into = links.filter(l => l.to === name);
  add(panel, "h2", name);
  list("imports", out.flatMap(l => l.edges.map(e => [e[1], e[2]])));
  list("imported by", into.flatMap(l => l.edges.map(e => [e[0], e[2]])));
  mark(new Set([name, ...out.map(l => l.to), ...into.map(l => l.from)]), [...out, ...into]);
}
for (const node of picture.querySelectorAll(".node")) {
  node.addEventListener("mouseenter", () => { if (kept === null) show(node.dataset.name); });
  node.addEventListener("mouseleave", () => { if (kept === null) show(null); });
  node.addEventListener("click", event => {
    event.stopPropagation();
    kept = kept === node.dataset.name ? null : node.dataset.name;
    show(kept ?? node.dataset.name);
  });
  node.addEventListener("keydown", event => { if (event.key === "Enter") { kept = node.dataset.name; show(kept); } });
}
document.getElementById("picture").addEventListener("click", () => { kept = null; show(null); });
document.querySelector("input").addEventListener("input", event => {
  const wanted = event.target.value.trim().toLowerCase();
  kept = null;
  if (!wanted) { show(null); return; }
  const found = links.flatMap(l => l.edges.filter(e =>
    e[0].toLowerCase().includes(wanted) || e[1].toLowerCase().includes(wanted)
    || e[2].some(n => n.toLowerCase().includes(wanted))).map(e => [l, e]));
  panel.textContent = "";
  list("imports", found.map(([, e]) => [`${e[0]} → ${e[1]}`, e[2]]));
  const pairs = found.map(([l]) => l);
  mark(new Set(pairs.flatMap(l => [l.from, l.to])), pairs);
});
show(null);
</script>
</html>
"""
