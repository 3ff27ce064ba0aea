"""Draws a run's curves: one PNG to look at or send, one HTML page that needs nothing beside it."""

import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.errors import RunError
from train.metrics import METRICS, read_metrics

Lines = list[dict[str, Any]]

_STAGES = ("pretrain", "extend_context", "extend_further", "instruct", "reward_model", "align")
_PANELS = ("loss, nats per token", "learning rate", "gradient norm", "tokens per second")
_FIGURES = {
    "tokens of an expert over the mean": ("expert_load_max", "expert_load_min"),
    "answers": ("reward", "solved", "compiles"),
}
"""Panels of what only some stages tell, and the fields in them."""
_INK, _FAINT, _MARK = "#1f4e79", "#b8cce0", "#c0392b"


def plot(folder: Path) -> tuple[Path, Path]:
    """Write `curves.png` and `curves.html` into a run's folder; return their paths.

    Raises:
        RunError: the folder holds no metrics, or matplotlib is not installed.
    """
    stages = _read_stages(folder)
    if not stages:
        raise RunError(f"{folder} holds no {METRICS}; give the --output folder of a run that has taken a step")
    figure = _draw(stages)
    png, page = folder / "curves.png", folder / "curves.html"
    figure.savefig(png, dpi=110)
    vectors = io.StringIO()
    figure.savefig(vectors, format="svg")
    page.write_text(_page(folder.resolve().name, stages, vectors.getvalue()), encoding="utf-8")
    return png, page


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the running mean that forgets over a fiftieth of the curve; what is not finite leaves it as it was.

    >>> smoothed([2.0, 4.0, float("nan")])
    [2.0, 3.0, 3.0]
    """
    least = 1 / max(1.0, len(values) / 50)
    mean, seen, means = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            seen += 1
            mean += max(least, 1 / seen) * (value - mean) if least < 1 else (value - mean) / seen
        means.append(mean)
    return means


def _read_stages(folder: Path) -> dict[str, Lines]:
    places = {folder.resolve().name: folder} | {name: folder / name for name in _STAGES}
    found = {name: read_metrics(place) for name, place in places.items()}
    return {name: lines for name, lines in found.items() if lines}


def _draw(stages: dict[str, Lines]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RunError("drawing needs matplotlib: pip install 'midfill[train]'") from error
    columns = len(_PANELS) + max(len(_told(lines)) for lines in stages.values())
    figure = Figure(figsize=(3.5 * columns, 3.2 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), columns, squeeze=False)
    for (name, lines), row in zip(stages.items(), grid, strict=True):
        steps = [line["step"] for line in lines]
        losses = [line["loss"] for line in lines]
        row[0].plot(steps, losses, color=_FAINT, linewidth=0.8)
        row[0].plot(steps, smoothed(losses), color=_INK, linewidth=1.6, label="training")
        held_out = [(line["step"], line["held_out_loss"]) for line in lines if line["held_out_loss"] is not None]
        if held_out:
            row[0].plot(*zip(*held_out, strict=True), "o-", color=_MARK, markersize=3, linewidth=1, label="held out")
        row[0].legend(frameon=False, fontsize=8)
        row[1].plot(steps, [line["learning_rate"] for line in lines], color=_INK)
        row[2].plot(steps, [line["gradient_norm"] for line in lines], color=_INK, linewidth=0.8)
        row[3].plot(steps, [line["tokens_per_second"] for line in lines], color=_INK)
        told = _told(lines)
        for panel, fields in zip(row[len(_PANELS) :], told.values(), strict=False):
            _draw_figures(panel, lines, fields)
        for panel in row[len(_PANELS) + len(told) :]:
            panel.set_visible(False)
        for panel, title in zip(row, (*_PANELS, *told), strict=False):
            panel.set_title(f"{name}: {title}", fontsize=9)
            panel.set_xlabel("step", fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(visible=True, color="#e6e6e6", linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
            panel.margins(x=0.02)
    return figure


def _told(lines: Lines) -> dict[str, tuple[str, ...]]:
    """Return the further panels that a stage's lines fill."""
    return {title: fields for title, fields in _FIGURES.items() if fields[0] in lines[-1]}


def _draw_figures(panel: Any, lines: Lines, fields: Sequence[str]) -> None:
    for field, color in zip(fields, (_INK, _MARK, _FAINT), strict=False):
        pairs = [(line["step"], line[field]) for line in lines if field in line]
        panel.plot(*zip(*pairs, strict=True), color=color, linewidth=1, label=field.replace("_", " "))
    panel.legend(frameon=False, fontsize=8)


def _page(title: str, stages: dict[str, Lines], vectors: str) -> str:
    rows = "".join(_row(name, lines) for name, lines in stages.items())
    heads = ("stage", "steps", "tokens", "last loss", "held-out loss", "tokens/s", "MFU", "skipped steps")
    header = "".join(f"<th>{head}</th>" for head in heads)
    drawing = vectors[vectors.index("<svg") :]
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#222}"
        "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;border-bottom:1px solid #ddd;"
        "text-align:right}th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n<table><tr>{header}</tr>{rows}</table>\n{drawing}\n</html>\n"
    )


def _row(name: str, lines: Lines) -> str:
    last = lines[-1]
    held_out = [line["held_out_loss"] for line in lines if line["held_out_loss"] is not None]
    cells = (
        name,
        f"{last['step']:,} of {last['steps']:,}",
        f"{last['tokens']:,}",
        f"{smoothed([line['loss'] for line in lines])[-1]:.4f}",
        f"{held_out[-1]:.4f}" if held_out else "",
        f"{last['tokens_per_second']:,.0f}",
        "" if last["utilization"] is None else f"{last['utilization']:.1%}",
        f"{sum(line['skipped'] for line in lines)}",
    )
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
