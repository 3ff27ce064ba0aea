"""Curves: a picture and a page that needs nothing beside it, from whatever a run has written so far."""

import json
from pathlib import Path

import pytest

from train.cli import main
from train.plot import smoothed


def _write(folder: Path, steps: int) -> None:
    folder.mkdir(parents=True)
    lines = [
        {"step": step, "steps": 100, "loss": 8.0 / step + 1, "learning_rate": 1e-3, "gradient_norm": 1.0,
         "tokens": step * 1000, "tokens_per_second": 5000.0, "utilization": None, "skipped": step == 3,
         "held_out_loss": 2.0 if step % 10 == 0 else None}
        for step in range(1, steps + 1)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4')


def test_every_stage_is_drawn_to_one_picture_and_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "run <1>" / "pretrain", 60)
    _write(tmp_path / "run <1>" / "instruct", 1)
    assert main(["plot", str(tmp_path / "run <1>")]) == 0
    picture, page = map(Path, capsys.readouterr().out.splitlines())
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<svg" in text
    assert "60 of 100" in text
    assert "run &lt;1&gt;" in text
    assert "<script" not in text
    assert 'src="http' not in text


def test_a_folder_without_metrics_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(tmp_path)]) == 2
    assert "holds no metrics.jsonl" in capsys.readouterr().err


def test_a_smoothed_curve_stays_within_the_values() -> None:
    values = [3.0, 1.0, 2.0, 2.5] * 100
    assert all(1.0 <= mean <= 3.0 for mean in smoothed(values))
    assert smoothed([5.0]) == [5.0]
