"""The results as a table in text, as JSON and as a page of HTML, with published scores beside ours."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.evaluate.published import Published, published
from train.evaluate.runner import SuiteResult, write_samples
from train.evaluate.scores import Estimate


def as_text(results: Sequence[SuiteResult]) -> str:
    """Return a table: one line a metric; ± is the 95 % confidence interval, published scores follow indented."""
    lines = [f"{'suite':<28}{'metric':<30}{'score':>8}  {'95 % interval':<16}{'tasks':>7}"]
    lines.append("-" * len(lines[0]))
    for result in results:
        for name, value in result.metrics.items():
            interval = f"{100 * value.low:.1f} to {100 * value.high:.1f}"
            lines.append(
                f"{result.suite:<28}{name:<30}{100 * value.value:>6.1f} %  {interval:<16}{_tasks(result, value):>7}"
            )
            lines += [
                f"{'':<30}{score.model:<28}{score.percent:>6.1f} %  {score.source}"
                for score in published(result.suite, name)
            ]
        lines += [f"{'':<30}not asked: {count:,} ({reason})" for reason, count in result.skipped.items()]
    return "\n".join(lines)


def as_json(results: Sequence[SuiteResult], *, protection: str) -> dict[str, Any]:
    """Return everything but the samples."""
    return {
        "protection": protection,
        "results": [
            {
                "suite": result.suite,
                "model": result.model,
                "protocol": result.protocol,
                "samples": result.sampling.samples,
                "temperature": result.sampling.temperature,
                "seed": result.sampling.seed,
                "tasks": result.tasks,
                "of": result.of,
                "skipped": dict(result.skipped),
                "seconds": round(result.seconds, 3),
                "metrics": {name: _metric(result.suite, name, value) for name, value in result.metrics.items()},
            }
            for result in results
        ],
    }


def as_html(results: Sequence[SuiteResult], *, protection: str) -> str:
    """Return one page that needs no network."""
    sections = "\n".join(map(_section, results))
    models = html.escape(", ".join(dict.fromkeys(result.model for result in results)))
    return (
        _PAGE.replace("{model}", models)
        .replace("{sections}", sections)
        .replace("{protection}", html.escape(protection))
    )


def write_report(results: Sequence[SuiteResult], folder: Path, *, protection: str) -> None:
    """Write `report.txt`, `report.json`, `report.html` and `<suite>.samples.jsonl` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text(as_text(results) + "\n", encoding="utf-8")
    tree = as_json(results, protection=protection)
    (folder / "report.json").write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(as_html(results, protection=protection), encoding="utf-8")
    for result in results:
        write_samples(result, folder / f"{result.suite}.samples.jsonl")


def _tasks(result: SuiteResult, value: Estimate) -> str:
    return f"{value.tasks:,}" + ("*" if result.tasks < result.of else "")


def _metric(suite: str, name: str, value: Estimate) -> dict[str, Any]:
    return {
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "tasks": value.tasks,
        "published": [
            {"model": score.model, "percent": score.percent, "source": score.source} for score in published(suite, name)
        ],
    }


def _section(result: SuiteResult) -> str:
    limited = f"{result.tasks:,} of {result.of:,} tasks" if result.tasks < result.of else f"{result.tasks:,} tasks"
    skipped = "".join(
        f"<p class=note>Not asked: {count:,} ({html.escape(reason)})</p>" for reason, count in result.skipped.items()
    )
    rows = "".join(_row(result, name, value) for name, value in result.metrics.items())
    return (
        f"<section><h2>{html.escape(result.suite)}</h2><p class=note>{html.escape(result.protocol)}. {limited}, "
        f"{result.sampling.samples} sample(s) at temperature {result.sampling.temperature:g}, "
        f"{result.seconds:,.0f} s.</p>{skipped}<table><tr><th>Metric<th>Model<th class=number>Score"
        f"<th>95 % interval<th>Source</tr>{rows}</table></section>"
    )


def _row(result: SuiteResult, name: str, value: Estimate) -> str:
    bar = (
        f"<div class=bar><i style='left:{100 * value.low:.1f}%;width:{100 * (value.high - value.low):.1f}%'></i>"
        f"<b style='left:{100 * value.value:.1f}%'></b></div>"
    )
    own = (
        f"<tr class=own><td>{html.escape(name)}<td>{html.escape(result.model)}"
        f"<td class=number>{100 * value.value:.1f} %"
        f"<td>{bar}{100 * value.low:.1f} to {100 * value.high:.1f}<td>measured, {value.tasks:,} tasks</tr>"
    )
    return own + "".join(map(_published_row, published(result.suite, name)))


def _published_row(score: Published) -> str:
    bar = f"<div class=bar><b style='left:{score.percent:.1f}%'></b></div>"
    return (
        f"<tr><td><td>{html.escape(score.model)}<td class=number>{score.percent:.1f} %<td>{bar}"
        f"<td>{html.escape(score.source)}</tr>"
    )


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of {model}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; }
.note { margin: .2rem 0; opacity: .75; }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; }
th, td { text-align: left; padding: .25rem .6rem; }
td { border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.own { font-weight: 600; }
.bar { position: relative; width: 10rem; height: .7rem; background: color-mix(in srgb, currentColor 10%, transparent); }
.bar i { position: absolute; height: 100%; background: #4a90d9aa; }
.bar b { position: absolute; width: 2px; height: 100%; background: currentColor; }
</style>
<h1>Evaluation of {model}</h1>
<p class=note>Scores in percent. The shaded bar is the 95 % interval over tasks; the line is the score. Published scores
are comparable only where the protocol is the same. Programs were judged under: {protection}.</p>
{sections}
</html>
"""
