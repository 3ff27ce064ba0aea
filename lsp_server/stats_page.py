"""The statistics as one self-contained page with charts: no script, nothing loaded from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from lsp_server.stats_report import as_text

_WIDTH: Final = 640
_HEIGHT: Final = 180
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #6b7280; --bar: #4f7cff; --good: #2e9e6b; --page: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ee; --soft: #9aa1ad; --page: #16181d } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 2rem }
p, figcaption { color: var(--soft) } figure { margin: 0 }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif }
pre { overflow-x: auto; font-size: 12px }
"""


def as_page(summary: Mapping[str, Any]) -> str:
    """Return the page."""
    everything = summary["languages"]["all"]
    days = summary["byDay"]
    kept = [(f"{after} s", share) for after, share in everything["keptShare"].items() if share is not None]
    hops = [(hop, one["p50"], one["p95"]) for hop, one in everything["milliseconds"].items()]
    languages = [
        (language, one["acceptance"])
        for language, one in summary["languages"].items()
        if language != "all" and one["acceptance"] is not None
    ]
    parts = [
        _section("Suggestions a day", "blue: shown; green: accepted of them", _pairs(days)),
        _section("Accepted, by language", "share of what was shown", _shares(languages)),
        _section("Still there", "share of accepted characters that stand after a while", _shares(kept)),
        _section("Milliseconds by hop", "half of all answers, and 95 of 100", _spans(hops)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>midfill statistics</title>'
        f"<style>{_STYLE}</style></head><body><h1>midfill statistics</h1>"
        "<p>Counted on this machine; nothing leaves it, and no source text is kept.</p>"
        f"{''.join(parts)}<h2>All figures</h2><pre>{escape(as_text(summary))}</pre></body></html>\n"
    )


def _section(title: str, caption: str, chart: str) -> str:
    body = chart or "<p>nothing counted yet</p>"
    return f"<h2>{escape(title)}</h2><figure>{body}<figcaption>{escape(caption)}</figcaption></figure>"


def _pairs(days: Sequence[Mapping[str, Any]]) -> str:
    if not days:
        return ""
    days = days[-30:]
    most = max(day["shown"] for day in days)
    step = _WIDTH / len(days)
    bars = []
    for number, day in enumerate(days):
        x, width = number * step, min(step * 0.8, 40)
        for count, colour in ((day["shown"], "var(--bar)"), (day["accepted"], "var(--good)")):
            height = (_HEIGHT - 30) * count / max(most, 1)
            y = _HEIGHT - 20 - height
            bars.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')
        if number in (0, len(days) - 1):
            bars.append(f'<text x="{x:.1f}" y="{_HEIGHT - 5}">{escape(day["day"][5:])}</text>')
    bars.append(f'<text x="0" y="10">{most}</text>')
    return _svg(_HEIGHT, bars)


def _shares(rows: Sequence[tuple[str, float]]) -> str:
    bars = []
    for number, (name, share) in enumerate(rows):
        y = 22 * number
        bars.append(f'<text x="0" y="{y + 14}">{escape(name)}</text>')
        bars.append(f'<rect x="110" y="{y + 3}" width="{470 * share:.1f}" height="14" fill="var(--bar)"/>')
        bars.append(f'<text x="{114 + 470 * share:.1f}" y="{y + 14}">{100 * share:.0f} %</text>')
    return _svg(22 * len(rows) + 4, bars) if rows else ""


def _spans(rows: Sequence[tuple[str, float, float]]) -> str:
    longest = max((high for _, _, high in rows), default=0.0) or 1.0
    bars = []
    for number, (name, low, high) in enumerate(rows):
        y, scale = 22 * number, 420 / longest
        bars.append(f'<text x="0" y="{y + 14}">{escape(name)}</text>')
        bars.append(
            f'<rect x="110" y="{y + 7}" width="{high * scale:.1f}" height="6" fill="var(--bar)" opacity="0.4"/>'
        )
        bars.append(f'<rect x="110" y="{y + 3}" width="{low * scale:.1f}" height="14" fill="var(--bar)"/>')
        bars.append(f'<text x="{116 + high * scale:.1f}" y="{y + 14}">{low:.1f} / {high:.1f}</text>')
    return _svg(22 * len(rows) + 4, bars) if rows else ""


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" width="100%">{"".join(parts)}</svg>'
