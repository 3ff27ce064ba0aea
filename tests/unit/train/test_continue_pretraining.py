"""Continued pretraining: the mix is exact, every row is read once in a pass, any Llama-shaped folder goes on."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.model_folder import read
from tests.support.tiny_model import write_tiny_model
from train.cli import main
from train.config import load_continued
from train.data.shards import Shard
from train.errors import CorpusError
from train.stages.continue_pretraining import MixedBatches, next_token_rows, read_texts

V15 = load_continued("v1.5").continue_pretraining
NAMES = sorted(V15.mixture)


def _batches(**weights: float) -> MixedBatches:
    shards = {
        name: Shard(rows=np.full((50, 8), number, np.uint16) * 100 + np.arange(50, dtype=np.uint16)[:, None], index={})
        for number, name in enumerate(sorted(weights))
    }
    return MixedBatches(shards=shards, weights=weights, batch_rows=100, steps=30, seed=1)


def test_the_recipe_is_the_papers() -> None:
    assert list(V15.mixture.values()) == [70, 10, 7, 7, 6]
    assert (V15.row_tokens, V15.tokens) == (4096, 2_000_000_000_000)


def test_every_thousand_rows_hold_the_mix() -> None:
    batches = _batches(**V15.mixture)
    for block in range(3):
        drawn = Counter(batches.source(position) for position in range(1000 * block, 1000 * (block + 1)))
        assert {name: drawn[name] / 10 for name in NAMES} == {name: V15.mixture[name] for name in NAMES}


def test_shares_that_do_not_divide_evenly_still_fill_a_block() -> None:
    batches = _batches(a=1.0, b=1.0, c=1.0)
    drawn = Counter(batches.source(position) for position in range(1000))
    assert sorted(drawn.values()) == [333, 333, 334]


def test_rows_of_a_source_come_once_in_a_pass() -> None:
    batches = _batches(a=0.9, b=0.1)
    firsts = [int(row[0]) for step in range(30) for row in batches.batch(step).ids]
    of_b = [first - 100 for first in firsts if first >= 100]
    assert len(of_b) == 300
    for start in range(0, 300, 50):
        assert sorted(of_b[start : start + 50]) == list(range(50))
    assert of_b[:50] != of_b[50:100]


def test_rows_hold_texts_one_after_another_each_closed(tmp_path: Path) -> None:
    served = read(write_tiny_model(tmp_path / "model"))
    texts = ["import json\n", "class Settings:\n", "def load(self):\n"] * 9
    rows = list(next_token_rows(texts, served.tokenizer, end=7, row_tokens=16))
    flat = [token for text in texts for token in (*served.tokenizer.encode(text), 7)]
    assert [token for row in rows for token in row] == flat[: len(rows) * 16]
    assert len(flat) - len(rows) * 16 < 16


def test_texts_are_read_from_folders_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("two")
    (tmp_path / "a.md").write_text("one")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\xfa")
    assert list(read_texts(tmp_path)) == ["one", "two"]
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"text": "one"}\n{"content": "two"}\n')
    assert list(read_texts(lines)) == ["one", "two"]
    lines.write_text('{"text": "one"}\n{"body": "two"}\n')
    with pytest.raises(CorpusError, match=r"lines\.jsonl:2 has neither"):
        list(read_texts(lines))


def test_the_command_goes_on_with_a_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_model(tmp_path / "model")
    for name in NAMES:
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"def {name}(x):\n    return x\n" * 40}) + "\n")
    sources = [f"--source={name}={tmp_path / name}.jsonl" for name in NAMES]
    settings = ["machine.precision=float32", "machine.compile=false", "continue_pretraining.row_tokens=32",
                "continue_pretraining.tokens=1280", "continue_pretraining.batch_rows=8",
                "continue_pretraining.warmup_steps=1", "continue_pretraining.learning_rate=0.003"]  # fmt: skip
    arguments = ["continue", "v1.5", str(model), *sources, "--output", str(tmp_path / "run")]
    arguments += [f"--set={setting}" for setting in settings]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "model")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    before, after = read(model), read(tmp_path / "run" / "model")
    assert after.prompt_settings == before.prompt_settings
    assert not (after.transformer.norm.weight == before.transformer.norm.weight).all()
    assert main([*arguments[:3], *sources[1:], *arguments[-9:]]) == 2
    assert "the mixture has no source for" in capsys.readouterr().err
