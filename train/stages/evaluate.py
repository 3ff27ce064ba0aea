"""Evaluation as a stage: the finished model is asked the recipe's suites, and the scores stay with the run."""

from collections.abc import Callable
from pathlib import Path

import train
from train.config import EvaluateConfig
from train.errors import EvaluationError
from train.evaluate.language_model import EngineModel
from train.evaluate.report import write_report
from train.evaluate.runner import Sampling, SuiteResult, measure
from train.evaluate.sandbox import Sandbox
from train.evaluate.suites import SuiteOptions, open_suite

REPORT = "report.json"


def evaluate(model: Path, recipe: EvaluateConfig, folder: Path, *, seed: int, tell: Callable[[str], None]) -> None:
    """Measure a model folder with every suite; write `report.txt`, `.json`, `.html` and the samples into `folder`.

    Raises:
        EvaluationError: a suite does not exist, or its data are not where the recipe says.
        SandboxError: programs cannot be run apart from the rest of the machine.
        ModelFolderError: the model cannot be read.
    """
    sandbox = Sandbox()
    asked = EngineModel.load(model, name=str(model))
    results: list[SuiteResult] = []
    for choice in recipe.suites:
        name, _, data = choice.partition("=")
        options = SuiteOptions(
            data=Path(data) if data else repository_of(recipe), sandbox=sandbox, count=recipe.holes, seed=seed
        )
        if not options.data.exists():
            raise EvaluationError(f"there is no {options.data}; say where the data of {name} are in evaluate.suites")
        results.append(measure(open_suite(name, options), asked, sampling=Sampling(seed=seed), limit=recipe.limit))
        tell(_line(results[-1]))
    write_report(results, folder, protection=sandbox.protection.value)


def repository_of(recipe: EvaluateConfig) -> Path:
    """Return the repository that holes are cut into."""
    return Path(recipe.repository) if recipe.repository else Path(train.__file__).parent


def _line(result: SuiteResult) -> str:
    name, value = next(iter(result.metrics.items()))
    return (
        f"{result.suite}: {name} {100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f}) "
        f"of {result.tasks:,} tasks"
    )
