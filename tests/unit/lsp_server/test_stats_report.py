import json
import re
import shutil
import sqlite3
import subprocess
import xml.etree.ElementTree as ET
from contextlib import closing

import pytest

from lsp_server import stats_store
from lsp_server.stats_page import as_page
from lsp_server.stats_report import as_markdown, as_text, summarise
from lsp_server.stats_store import KeptRow, RequestRow, SuggestionRow


@pytest.fixture
def path(tmp_path):
    path = stats_store.path_in(tmp_path)
    rows: list = [
        SuggestionRow(
            id=str(number), at=1e10, language=language, client="c", outcome=outcome, characters=10, lines=1,
            taken=taken, visible_ms=900.0, confidence=0.5,
        )
        for number, (language, outcome, taken) in enumerate(
            [("python", "accepted", 10), ("python", "rejected", 0), ("go", "partial", 4), ("go", "ignored", 0)]
        )
    ]  # fmt: skip
    rows += [KeptRow(id="0", after=30, characters=5), KeptRow(id="2", after=30, characters=4)]
    rows += [
        RequestRow(at=1e10, language="python", client="c", source="engine", reason=reason, total_ms=float(total))
        for total, reason in enumerate(["engine", "engine", "too unsure"])
    ]
    stats_store.write(path, rows)
    return path


def test_shares_are_of_what_could_be_read(path):
    every = summarise(path, days=None)["languages"]["all"]
    assert (every["shown"], every["accepted"], every["partial"]) == (3, 1, 1)
    assert every["acceptance"] == pytest.approx(1 / 3)
    assert every["acceptedCharacters"] == 14


def test_kept_characters_are_a_share_of_those_looked_at(path):
    every = summarise(path, days=None)["languages"]["all"]
    assert every["keptCharacters"]["30"] == 9
    assert every["keptShare"]["30"] == pytest.approx(9 / 14)
    assert every["keptShare"]["15"] is None


def test_every_language_is_told_apart(path):
    assert set(summarise(path, days=None)["languages"]) == {"all", "python", "go"}


def test_what_was_hidden_is_counted_by_reason(path):
    assert summarise(path, days=None)["languages"]["all"]["hidden"] == {"too unsure": 1}


def test_the_summary_is_json(path):
    assert json.loads(json.dumps(summarise(path, days=7)))


def page_of(path) -> ET.Element:
    page = as_page(summarise(path, days=None))
    return ET.fromstring(page.removeprefix("<!doctype html>\n").replace('<meta charset="utf-8">', ""))


def stored(path, sql: str):
    with closing(sqlite3.connect(path)) as store:
        return store.execute(sql).fetchall()


def chart(path, title: str) -> ET.Element:
    """Return the chart below a heading of the page."""
    body = list(page_of(path).find("body"))
    [place] = [number for number, element in enumerate(body) if element.tag == "h2" and element.text == title]
    return body[place + 1].find("svg")


def bars(path, title: str) -> dict[str, tuple[float, str]]:
    """Return the bar of each row of a chart: its length on the page, and what stands behind it."""
    parts = list(chart(path, title))
    rows = [number for number, part in enumerate(parts) if part.get("x") == "0"]
    found = {}
    for start, end in zip(rows, [*rows[1:], len(parts)], strict=True):
        *_, bar, label = parts[start:end]
        found[parts[start].text] = (float(bar.get("width")), label.text)
    return found


def test_the_page_is_whole_and_loads_nothing(path):
    page = as_page(summarise(path, days=None))
    assert page_of(path).tag == "html"
    assert "http" not in page
    assert "<script" not in page
    assert "python" in page


def test_the_days_on_the_page_are_as_high_as_the_store_says(path):
    parts = list(chart(path, "Suggestions a day"))
    heights = [float(part.get("height")) for part in parts if part.tag == "rect"]
    [(shown, accepted)] = stored(
        path, "select count(*), sum(outcome in ('accepted', 'typed')) from suggestions where outcome != 'ignored'"
    )
    assert heights[1] / heights[0] == pytest.approx(accepted / shown, abs=0.01)
    assert parts[-1].text == str(shown)


def test_the_shares_on_the_page_are_those_of_the_store(path):
    for language, (length, label) in bars(path, "Accepted, by language").items():
        [(share,)] = stored(
            path,
            "select avg(outcome in ('accepted', 'typed')) from suggestions "
            f"where outcome != 'ignored' and language = '{language}'",
        )
        assert label == f"{100 * share:.0f} %"
        assert length == pytest.approx(470 * share, abs=0.1)
    [(kept, taken)] = stored(path, "select sum(kept_30), sum(taken) from suggestions where kept_30 not null")
    assert bars(path, "Still there") == {
        "30 s": (pytest.approx(470 * kept / taken, abs=0.1), f"{100 * kept / taken:.0f} %")
    }


def test_the_times_on_the_page_are_those_of_the_store(path):
    times = sorted(time for (time,) in stored(path, "select total_ms from requests"))
    assert times == [0.0, 1.0, 2.0]
    [(hop, (_, label))] = bars(path, "Milliseconds by hop").items()
    assert (hop, label) == ("total", "1.0 / 1.0")


@pytest.mark.parametrize("lay_out", [as_text, as_markdown])
def test_texts_say_what_the_store_says(path, lay_out):
    rows = [re.sub(r"[|]", " ", line).split() for line in lay_out(summarise(path, days=None)).splitlines()]
    assert ["all", "3", "33", "%", "1", "14", "64", "%", "-", "1.0", "1.0"] in rows
    assert ["python", "2", "50", "%", "0", "10", "50", "%", "-", "1.0", "1.0"] in rows
    assert ["go", "1", "0", "%", "1", "4", "100", "%", "-", "-", "-"] in rows
    assert ["total", "1.0", "1.0"] in rows
    assert ["too", "unsure", "1"] in rows or ["1", "too", "unsure"] in rows


def test_every_line_of_a_markdown_table_has_as_many_cells(path):
    tables = [part.splitlines() for part in as_markdown(summarise(path, days=None)).split("\n\n") if "|" in part]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_the_page_is_drawn_by_a_browser(path, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    page, picture = tmp_path / "stats.html", tmp_path / "stats.png"
    page.write_text(as_page(summarise(path, days=None)), encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=800,1100",
        f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_nothing_counted_is_said(tmp_path):
    summary = summarise(tmp_path / "none", days=None)
    assert "nothing counted yet" in as_text(summary)
    assert "nothing counted yet" in as_page(summary)
    assert as_markdown(summary)
