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
_NOTHING: Final = "nothing counted yet: statistics begin with the next suggestion"

_Table = list[tuple[str, ...]]
"""Titles and rows."""


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
        return f"{_NOTHING} (setting `statistics`)"
    languages, hops, hidden = _tables(summary)
    lines = [*_aligned(languages), "", *_aligned(hops)]
    if len(hidden) > 1:
        lines += ["", "why nothing was shown:", *(f"{count:>7}  {reason}" for reason, count in hidden[1:])]
    return "\n".join(lines)


def as_markdown(summary: Mapping[str, Any]) -> str:
    """Lay a summary out for an editor's view."""
    if not summary["languages"][_EVERYTHING]["requests"]:
        return f"# midfill statistics\n\n{_NOTHING} (setting `statistics`).\n"
    parts = ["# midfill statistics", *(f"{_as_markdown_table(table)}" for table in _tables(summary) if len(table) > 1)]
    return "\n\n".join([*parts, "Counted on this machine; nothing leaves it.\n"])


def _tables(summary: Mapping[str, Any]) -> tuple[_Table, _Table, _Table]:
    """Return the figures by language, by hop, and by reason, each below a row of titles."""
    everything = summary["languages"][_EVERYTHING]
    languages: _Table = [
        ("language", "shown", "accepted", "partly", "characters", "kept after 30 s", "10 min", "p50 ms", "p95 ms")
    ]
    for language, one in summary["languages"].items():
        total = one["milliseconds"].get("total", {})
        languages.append(
            (
                language[:14], str(one["shown"]), _percent(one["acceptance"]), str(one["partial"]),
                str(one["acceptedCharacters"]), _percent(one["keptShare"]["30"]), _percent(one["keptShare"]["600"]),
                _number(total.get("p50")), _number(total.get("p95")),
            )
        )  # fmt: skip
    hops = [(hop, _number(one["p50"]), _number(one["p95"])) for hop, one in everything["milliseconds"].items()]
    hidden = [(reason, str(count)) for reason, count in everything["hidden"].items()]
    return languages, [("hop", "p50 ms", "p95 ms"), *hops], [("why nothing was shown", "times"), *hidden]


def _aligned(table: _Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]


def _as_markdown_table(table: _Table) -> str:
    titles, *rows = table
    rule = ("---", *("---:" for _ in titles[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rule, *rows))


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
