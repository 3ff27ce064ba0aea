"""The whole story by the command a user types: `midfill train run tiny_cpu`, from Python's library to a completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.daemon_start import EngineSettings
from engine.model_folder import read
from tests.support.engine_process import engine_settings

ROOT = Path(__file__).parents[2]
STAGES = ("pretrain", "extend_context", "instruct")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Go through the recipe as it is; return the run's folder and what the command said."""
    folder = tmp_path_factory.mktemp("story")
    with engine_settings(folder / "home", folder / "run" / "model") as settings:
        assert isinstance(settings, EngineSettings)
        command = [
            sys.executable,
            "-P",
            "-m",
            "lsp_server",
            "train",
            "run",
            "tiny_cpu",
            "--output",
            str(folder / "run"),
        ]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout.strip() == str(folder / "run" / "model")
    return folder / "run", result.stderr


@pytest.mark.slow
def test_every_stage_leaves_what_the_next_one_needs(run: tuple[Path, str]) -> None:
    folder, _ = run
    rows = json.loads((folder / "rows" / "index.json").read_text())
    assert rows["rows"] * rows["row_tokens"] >= 600_000
    assert rows["dropped"]
    for stage in STAGES:
        steps = [json.loads(line) for line in (folder / stage / "metrics.jsonl").read_text().splitlines()]
        assert steps[-1]["step"] == steps[-1]["steps"] == len(steps)
        assert (folder / stage / "model" / "model.safetensors").exists()
    served = read(folder / "model")
    assert served.tokenizer.vocab_size >= 2048
    assert served.transformer.config.rope_factor == 4.0
    assert served.prompt_settings.context_length == 512
    assert read(folder / "instruct_model").transformer.config.eos_token_id == served.tokenizer.control_id("<|EOT|>")


@pytest.mark.slow
def test_the_network_learns(run: tuple[Path, str]) -> None:
    folder, _ = run
    steps = [json.loads(line) for line in (folder / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    held_out = [step["held_out_loss"] for step in steps if step["held_out_loss"] is not None]
    assert held_out[-1] < steps[0]["loss"] - 2


@pytest.mark.slow
def test_the_run_ends_with_scores_and_with_completions_by_the_engine(run: tuple[Path, str]) -> None:
    folder, said = run
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    assert [result["suite"] for result in report["results"]] == ["repository-lines", "needle"]
    for result in report["results"]:
        assert result["tasks"] == 40
        assert (folder / "evaluation" / f"{result['suite']}.samples.jsonl").exists()
    shown = [json.loads(line) for line in (folder / "evaluation" / "completions.jsonl").read_text().splitlines()]
    assert len(shown) == 3
    for item in shown:
        assert f"▸{item['completion']}◂" in said
    assert any(item["completion"].strip() for item in shown)
