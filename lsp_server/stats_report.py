"""What the statistics say: how much is accepted, how much of it stays, and how long answers take."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lsp_server import stats_store
from lsp_server.completion.acceptance import KEPT_AFTER_SECONDS

_SHOWN: Final = ("accepted", "typed", "partial", "rejected")
"""Outcomes of suggestions that were on the screen long enough to be read."""
_ACCEPTED: Final = ("accepted", "typed")
_EVERYTHING: Final = "all"


def summarise(path: Path, *, days: float | None) -> dict[str, Any]:
    """Read the store and return everything that is reported, as JSON.

    Args:
        path: the store; where it is missing there is nothing to report.
        days: how far back to look; None means everything that is kept.
    """
    since = 0.0 if days is None else time.time() - days * 86400
    suggestions = stats_store.read(path, "suggestions", since=since)
    requests = stats_store.read(path, "requests", since=since)
    languages = [_EVERYTHING, *sorted({row["language"] for row in (*suggestions, *requests)})]
    return {
        "days": days,
        "languages": {
            language: _of_language(_only(suggestions, language), _only(requests, language)) for language in languages
        },
        "byDay": _by_day(suggestions),
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """Lay a summary out for a terminal."""
    if not summary["languages"][_EVERYTHING]["requests"]:
        return "nothing counted yet: statistics begin with the next suggestion (setting `statistics`)"
    lines = [
        f"{'language':14} {'shown':>7} {'accepted':>9} {'partly':>7} {'characters':>11} {'kept after 30 s':>16} "
        f"{'10 min':>7} {'p50 ms':>8} {'p95 ms':>8}"
    ]
    for language, one in summary["languages"].items():
        total = one["milliseconds"].get("total", {})
        lines.append(
            f"{language[:14]:14} {one['shown']:7} {_percent(one['acceptance']):>9} {one['partial']:7} "
            f"{one['acceptedCharacters']:11} {_percent(one['keptShare']['30']):>16} "
            f"{_percent(one['keptShare']['600']):>7} {_number(total.get('p50')):>8} {_number(total.get('p95')):>8}"
        )
    hops = summary["languages"][_EVERYTHING]["milliseconds"]
    lines += ["", f"{'hop':14} {'p50 ms':>8} {'p95 ms':>8}"]
    lines += [f"{hop:14} {_number(one['p50']):>8} {_number(one['p95']):>8}" for hop, one in hops.items()]
    lines += ["", "why nothing was shown:"]
    lines += [f"{count:7}  {reason}" for reason, count in summary["languages"][_EVERYTHING]["hidden"].items()]
    return "\n".join(lines)


def as_markdown(summary: Mapping[str, Any]) -> str:
    """Lay a summary out for an editor's view."""
    return f"# midfill statistics\n\n````\n{as_text(summary)}\n````\n\nCounted on this machine; nothing leaves it.\n"


def _of_language(suggestions: Sequence[Mapping[str, Any]], requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = [row for row in suggestions if row["outcome"] in _SHOWN]
    accepted = [row for row in shown if row["outcome"] in _ACCEPTED]
    taken = [row for row in shown if row["outcome"] in (*_ACCEPTED, "partial")]
    hidden: dict[str, int] = {}
    for row in requests:
        if row["reason"] not in ("engine", "cache", "in flight"):
            hidden[row["reason"]] = hidden.get(row["reason"], 0) + 1
    return {
        "requests": len(requests),
        "shown": len(shown),
        "accepted": len(accepted),
        "partial": sum(row["outcome"] == "partial" for row in shown),
        "rejected": sum(row["outcome"] == "rejected" for row in shown),
        "acceptance": len(accepted) / len(shown) if shown else None,
        "acceptedCharacters": sum(row["taken"] for row in taken),
        "keptCharacters": {str(after): _kept(taken, after)[0] for after in KEPT_AFTER_SECONDS},
        "keptShare": {str(after): _kept(taken, after)[1] for after in KEPT_AFTER_SECONDS},
        "milliseconds": _milliseconds(requests),
        "hidden": dict(sorted(hidden.items(), key=lambda item: -item[1])),
    }


def _kept(taken: Sequence[Mapping[str, Any]], after: int) -> tuple[int, float | None]:
    """Return the characters kept, and their share of those accepted, over the suggestions looked at by then."""
    counted = [row for row in taken if row[f"kept_{after}"] is not None]
    kept = sum(min(row[f"kept_{after}"], row["taken"]) for row in counted)
    accepted = sum(row["taken"] for row in counted)
    return kept, kept / accepted if accepted else None


def _milliseconds(requests: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found = {}
    for hop in stats_store.HOPS:
        values = sorted(row[f"{hop}_ms"] for row in requests if row[f"{hop}_ms"] is not None)
        if values:
            found[hop] = {"p50": statistics.median(values), "p95": values[int(0.95 * (len(values) - 1))]}
    return found


def _by_day(suggestions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    days: dict[str, dict[str, Any]] = {}
    for row in suggestions:
        if row["outcome"] not in _SHOWN:
            continue
        name = time.strftime("%Y-%m-%d", time.localtime(row["at"]))
        day = days.setdefault(name, {"day": name, "shown": 0, "accepted": 0, "characters": 0})
        day["shown"] += 1
        day["accepted"] += row["outcome"] in _ACCEPTED
        day["characters"] += row["taken"]
    return list(days.values())


def _only(rows: Sequence[Mapping[str, Any]], language: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if language in (_EVERYTHING, row["language"])]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
