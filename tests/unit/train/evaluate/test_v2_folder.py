"""A model folder of V2's shape, with experts and latents, is asked every kind of suite like any other."""

import json
from pathlib import Path

import pytest

from engine.model_folder import read
from tests.support.benchmark_data import CRUXEVAL, HUMANEVAL, INFILLING, MBPP, write_rows
from tests.support.tiny_v2 import write_v2_model
from train.cli import main
from train.evaluate.language_model import EngineModel
from train.evaluate.needle import Needle
from train.evaluate.runner import Sampling, measure
from train.evaluate.suite import Continue


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for number in range(40):
        lines = [f"def function_{number}_{line}(value):\n    return value + {line}\n" for line in range(60)]
        (folder / f"module_{number}.py").write_text("\n".join(lines))
    return folder


def test_every_kind_of_suite_is_measured(tmp_path: Path, repository: Path) -> None:
    data = {
        "humaneval": write_rows(tmp_path / "humaneval" / "HumanEval.jsonl", [HUMANEVAL]),
        "mbpp": write_rows(tmp_path / "mbpp" / "mbpp.jsonl", MBPP),
        "infilling-single": write_rows(tmp_path / "single" / "HumanEval-SingleLineInfilling.jsonl.gz", [INFILLING]),
        "infilling-multi": write_rows(tmp_path / "multi" / "HumanEval-MultiLineInfilling.jsonl.gz", [INFILLING]),
        "cruxeval-i": write_rows(tmp_path / "cruxeval" / "cruxeval.jsonl", [CRUXEVAL]),
        "needle": repository,
        "repository-lines": repository,
    }
    model, output = write_v2_model(tmp_path / "model"), tmp_path / "out"
    suites = [argument for name, folder in data.items() for argument in ("--suite", f"{name}={folder}")]
    asked = ["evaluate", "--model", str(model), *suites, "--limit", "1", "--count", "2", "--output", str(output)]
    assert main(asked) == 0
    report = json.loads((output / "report.json").read_text())
    assert {entry["suite"] for entry in report["results"]} == set(data)


def test_needles_are_looked_for_behind_thousands_of_tokens(tmp_path: Path, repository: Path) -> None:
    folder = write_v2_model(tmp_path / "model", context_length=8_192)
    model = EngineModel.load(folder, name="v2")
    suite = Needle(repository, lengths=(1_000, 8_000), each=1)
    (longest,) = [task for task in suite.tasks() if task.row == {"length": 8_000, "depth": 0.0}]
    assert isinstance(longest.question, Continue)
    assert 2_000 < len(read(folder).tokenizer.encode(longest.question.prompt)) < 8_000
    result = measure(suite, model, sampling=Sampling(), limit=2)
    assert result.tasks == 2
    assert {"found", "found, 1,000 characters", "found, 8,000 characters"} <= result.metrics.keys()
