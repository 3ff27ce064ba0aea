import json
import xml.etree.ElementTree as ET

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


def test_the_page_is_whole_and_loads_nothing(path):
    page = as_page(summarise(path, days=None))
    ET.fromstring(page.removeprefix("<!doctype html>\n").replace('<meta charset="utf-8">', ""))
    assert "http" not in page
    assert "<script" not in page
    assert "python" in page


def test_nothing_counted_is_said(tmp_path):
    summary = summarise(tmp_path / "none", days=None)
    assert "nothing counted yet" in as_text(summary)
    assert "nothing counted yet" in as_page(summary)
    assert as_markdown(summary)
