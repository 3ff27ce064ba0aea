"""`midfill train evaluate`: measure a model with public benchmarks, or with holes in a repository of your own."""

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from engine.completer import Source
from engine.fim_formats import FORMATS, by_name
from engine.model_names import resolve
from train.errors import EvaluationError
from train.evaluate.language_model import EngineModel, LanguageModel, ServerModel
from train.evaluate.report import as_text, write_report
from train.evaluate.repository_suites import PYTEST
from train.evaluate.runner import Sampling, SuiteResult, measure
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Suite
from train.evaluate.suites import SUITES, SuiteOptions, open_suite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--model", default="default", help="a model folder or name; the server's name with --server")
    parser.add_argument(
        "--suite",
        action="append",
        required=True,
        metavar="NAME[=DATA]",
        help=f"may be repeated; its data where they are not all in --data; one of {', '.join(SUITES)}",
    )
    parser.add_argument("--data", type=Path, help="the benchmark's file or folder, or the repository to be measured on")
    parser.add_argument("--limit", type=int, help="ask this many tasks, spread evenly over the suite")
    parser.add_argument("--samples", type=int, default=1, help="answers to each task (default: 1)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100, help="holes to draw in a repository (default: 100)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for report.txt, .json, .html and the samples")
    parser.add_argument(
        "--source",
        choices=[source.value for source in Source],
        default=Source.BOTH.value,
        help="what writes one-line answers: the network, the n-gram cache of the file, or both (default)",
    )
    parser.add_argument("--server", metavar="URL", help="an OpenAI-compatible server (http://HOST:PORT/v1)")
    parser.add_argument(
        "--fim-format", choices=[fim.name for fim in FORMATS], help="how the server's model marks the parts of a prompt"
    )
    parser.add_argument("--repositories", type=Path, help="checkouts for crosscodeeval-own, named as in the data")
    parser.add_argument("--test-command", default=PYTEST, help=f"for repository-tests (default: {PYTEST})")
    parser.add_argument("--judges", type=int, default=os.cpu_count() or 1, help="programs run at the same time")
    parser.set_defaults(verb=evaluate)


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure and print; return the exit code.

    Raises:
        TrainError: a suite, its data, the server or the sandbox cannot be used.
        EngineError: the model cannot be.
    """
    sampling = Sampling(samples=arguments.samples, temperature=arguments.temperature, seed=arguments.seed)
    _check(arguments)
    sandbox = Sandbox()
    suites = [_open(choice, arguments, sandbox) for choice in arguments.suite]
    model = _model(arguments)
    print(f"programs are judged under {sandbox.protection.value}", file=sys.stderr)
    results = [_measure(suite, model, sampling, arguments) for suite in suites]
    print(as_text(results))
    if any(result.tasks < result.of for result in results):
        print("* a part of the suite's tasks")
    if arguments.output is not None:
        try:
            write_report(results, arguments.output, protection=sandbox.protection.value)
        except OSError as error:
            raise EvaluationError(f"cannot write to {arguments.output}: {error.strerror or error}") from error
        print(f"report and samples are in {arguments.output}", file=sys.stderr)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.samples > 1 and arguments.temperature <= 0:
        raise EvaluationError("samples of a task are all the same at temperature 0; give --temperature 0.2, say")
    for option in ("samples", "limit", "count", "judges"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise EvaluationError(f"--{option} must be 1 or more")


def _open(choice: str, arguments: argparse.Namespace, sandbox: Sandbox) -> Suite:
    name, _, data = choice.partition("=")
    place = Path(data) if data else arguments.data
    if place is None:
        raise EvaluationError(f"where are the data of {name}? give --data or --suite {name}=PATH")
    if not place.exists():
        raise EvaluationError(f"there is no {place}; give the data of {name}")
    options = SuiteOptions(
        data=place,
        sandbox=sandbox,
        repositories=arguments.repositories,
        count=arguments.count,
        seed=arguments.seed,
        test_command=arguments.test_command,
    )
    return open_suite(name, options)


def _model(arguments: argparse.Namespace) -> LanguageModel:
    if arguments.server is not None:
        fim = by_name(arguments.fim_format) if arguments.fim_format else None
        return ServerModel(arguments.server, model=arguments.model, fim=fim)
    return EngineModel.load(resolve(arguments.model), name=arguments.model, source=Source(arguments.source))


def _measure(suite: Suite, model: LanguageModel, sampling: Sampling, arguments: argparse.Namespace) -> SuiteResult:
    with tqdm(unit="task", desc=suite.name, disable=None) as progress:

        def show(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.n)

        return measure(suite, model, sampling=sampling, limit=arguments.limit, judges=arguments.judges, on_task=show)
