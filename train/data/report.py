"""One page that shows what the data steps kept and dropped, by rule and language, with samples to look at."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from train.data.tally import Example, Tally

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bar: #3b82c4; --gone: #c4573b }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 15rem }
th { font-weight: 600 } tr:hover td { background: var(--soft) }
.scroll { overflow-x: auto } .soft { opacity: .65 }
.bar { display: inline-block; height: .7em; background: var(--bar); border-radius: 2px }
.gone { background: var(--gone) } td.wide { width: 30% ; text-align: left }
details { margin: .4rem 0; border: 1px solid var(--line); border-radius: 6px; padding: .3rem .7rem }
summary { cursor: pointer } pre { overflow-x: auto; background: var(--soft); padding: .6rem; border-radius: 6px;
font-size: 12.5px; line-height: 1.35; margin: .3rem 0 1rem } .name { font-family: monospace; font-size: 13px }
"""
_MOST_LANGUAGES = 12
"""Columns of the table of reasons; the rarer languages share one."""


def write_report(path: Path, tally: Tally, *, title: str, about: Sequence[str]) -> None:
    """Write the page; it needs no other file and loads nothing.

    Args:
        path: the file to write.
        tally: what every step counted, in the order of the steps.
        title: heading.
        about: lines under it: sources, options.
    """
    steps = _steps(tally)
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f'<div class="soft">{escape(line)}</div>' for line in about),
        "<h2>Steps</h2>",
        _steps_table(tally, steps),
        "<h2>Languages</h2>",
        _languages_table(tally, steps),
        "<h2>Why files were dropped</h2>",
        _reasons_table(tally, steps),
        "<h2>Samples of what was dropped</h2>",
        *_samples(tally, steps),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"{''.join(body)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8", errors="replace")


def _steps(tally: Tally) -> list[str]:
    """Return the steps in the order in which they were counted first."""
    return list(dict.fromkeys([step for step, _ in tally.kept] + [step for step, _, _ in tally.dropped]))


def _steps_table(tally: Tally, steps: Sequence[str]) -> str:
    rows = []
    most = max((sum(tally.kept_bytes[key] for key in tally.kept if key[0] == step) for step in steps), default=0)
    for step in steps:
        kept = sum(count for (name, _), count in tally.kept.items() if name == step)
        size = sum(tally.kept_bytes[key] for key in tally.kept if key[0] == step)
        dropped = sum(count for (name, _, _), count in tally.dropped.items() if name == step)
        gone = sum(count for (name, _, _), count in tally.dropped_bytes.items() if name == step)
        scale = 240 / most if most else 0
        bar = f'<span class="bar" style="width:{size * scale:.0f}px"></span>'
        bar += f'<span class="bar gone" style="width:{gone * scale:.0f}px"></span>'
        rows.append([escape(step), f"{dropped:,}", _size(gone), f"{kept:,}", _size(size), bar])
    return _table(["Step", "Files dropped", "Text dropped", "Files kept", "Text kept", ""], rows, last_is_wide=True)


def _languages_table(tally: Tally, steps: Sequence[str]) -> str:
    if not steps:
        return ""
    first, last = steps[0], steps[-1]
    languages = sorted({language for _, language in tally.kept}, key=lambda name: (-tally.kept_bytes[last, name], name))
    rows = []
    for language in languages:
        before, after = tally.kept_bytes[first, language], tally.kept_bytes[last, language]
        share = f"{100 * after / before:.1f} %" if before else ""
        files = f"{tally.kept[first, language]:,}", f"{tally.kept[last, language]:,}"
        rows.append([escape(language), files[0], _size(before), files[1], _size(after), share])
    return _table(["Language", "Files read", "Text read", "Files kept", "Text kept", "Of the text"], rows)


def _reasons_table(tally: Tally, steps: Sequence[str]) -> str:
    totals: Counter[str] = Counter()
    for (_, _, language), count in tally.dropped.items():
        totals[language] += count
    named = [language for language, _ in totals.most_common() if language][:_MOST_LANGUAGES]
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for (step, reason, language), count in tally.dropped.items():
        column = language if language in named or not language else "others"
        reasons.setdefault((step, reason), Counter())[column] += count
    columns = [*named, *(["others"] if any("others" in row for row in reasons.values()) else []), ""]
    rows = []
    for (step, reason), counts in sorted(
        reasons.items(), key=lambda item: (steps.index(item[0][0]), -item[1].total(), item[0][1])
    ):
        cells = [f"{counts[column]:,}" if counts[column] else '<span class="soft">·</span>' for column in columns]
        name = f'{escape(reason)} <span class="soft">{escape(step)}</span>'
        rows.append([name, f"<b>{counts.total():,}</b>", *cells])
    return _table(["Reason", "Files", *map(escape, columns[:-1]), "not read"], rows)


def _samples(tally: Tally, steps: Sequence[str]) -> Iterable[str]:
    for step, reason in sorted(tally.examples, key=lambda key: (steps.index(key[0]), key[1])):
        count = sum(tally.dropped[key] for key in tally.dropped if key[:2] == (step, reason))
        yield f'<details><summary>{escape(reason)} <span class="soft">{escape(step)}, {count:,} files</span></summary>'
        yield from map(_sample, tally.examples[step, reason])
        yield "</details>"


def _sample(example: Example) -> str:
    name = f"{example.repository}/{example.path}"
    return f'<div class="name">{escape(name)} ({escape(example.language)})</div><pre>{escape(example.excerpt)}</pre>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, last_is_wide: bool = False) -> str:
    lines = ["<div class=scroll><table><tr>", *(f"<th>{head}</th>" for head in heads), "</tr>"]
    for row in rows:
        cells = [f"<td>{cell}</td>" for cell in row]
        if last_is_wide:
            cells[-1] = f'<td class="wide">{row[-1]}</td>'
        lines += ["<tr>", *cells, "</tr>"]
    return "".join([*lines, "</table></div>"])


def _size(characters: int) -> str:
    """Return a count of characters for a person.

    >>> _size(999), _size(1_250_000)
    ('999', '1.2 M')
    """
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if characters >= factor:
            return f"{characters / factor:.1f} {unit}"
    return str(characters)
