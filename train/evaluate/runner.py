"""Asks a model every task of a suite, judges the answers side by side, and keeps each of them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from train.evaluate.language_model import LanguageModel
from train.evaluate.scores import Estimate, estimate, pass_at_k
from train.evaluate.suite import Continue, Judgement, Suite, Task

_PASS_AT = (1, 10, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How answers are drawn."""

    samples: int = 1
    """Of each task."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer and what it is worth."""

    task: Task
    number: int
    completion: str
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """What a model scored."""

    suite: str
    model: str
    protocol: str
    sampling: Sampling
    tasks: int
    of: int
    """Tasks that the suite has here; `tasks` is fewer under a limit."""
    metrics: Mapping[str, Estimate]
    """The first is the suite's own."""
    skipped: Mapping[str, int]
    seconds: float
    samples: Sequence[Sample]


def measure(
    suite: Suite,
    model: LanguageModel,
    *,
    sampling: Sampling,
    limit: int | None = None,
    judges: int = 2,
    on_task: Callable[[int, int], None] | None = None,
) -> SuiteResult:
    """Ask and judge.

    Args:
        suite: its tasks are asked in order.
        model: asked from this thread only.
        sampling: how answers are drawn.
        limit: tasks to ask, spread evenly over the suite; None is all.
        judges: programs judged at the same time.
        on_task: told how many tasks of how many are done.

    Raises:
        TrainError: the model, the data or the sandbox cannot be used.
        EngineError: our engine cannot answer.
    """
    began = time.perf_counter()
    everything = suite.tasks()
    tasks = spread(everything, limit)
    waiting: list[tuple[Task, int, str, Future[Judgement]]] = []
    failures: list[BaseException] = []  # a sandbox that does not work must not come out after hours of asking
    with ThreadPoolExecutor(judges) as pool:
        for done, task in enumerate(tasks, start=1):
            for number in range(sampling.samples):
                text = model.write(
                    task.question, temperature=sampling.temperature, seed=sampling.seed * sampling.samples + number
                )
                completion = suite.cut(task, text)
                judging = pool.submit(suite.judge, task, completion)
                judging.add_done_callback(partial(_note_failure, failures))
                waiting.append((task, number, completion, judging))
            if failures:
                pool.shutdown(cancel_futures=True)
                raise failures[0]
            if on_task is not None:
                on_task(done, len(tasks))
        samples = [
            Sample(task=task, number=number, completion=completion, judgement=future.result())
            for task, number, completion, future in waiting
        ]
    return SuiteResult(
        suite=suite.name,
        model=model.name,
        protocol=suite.protocol,
        sampling=sampling,
        tasks=len(tasks),
        of=len(everything),
        metrics=summarise(samples, sampling.samples),
        skipped=dict(suite.skipped),
        seconds=time.perf_counter() - began,
        samples=samples,
    )


def spread(tasks: Sequence[Task], limit: int | None) -> list[Task]:
    """Return `limit` tasks spread evenly over all: benchmarks are sorted, so their first ones are no fair sample."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    return [tasks[index * len(tasks) // limit] for index in range(limit)]


def summarise(samples: Sequence[Sample], each: int) -> dict[str, Estimate]:
    """Return each metric over tasks; `pass` and `pass, LANGUAGE` become pass@k for every k that `each` allows."""
    by_task: dict[str, list[Mapping[str, float]]] = {}
    for sample in samples:
        by_task.setdefault(sample.task.task_id, []).append(sample.judgement.metrics)
    names = dict.fromkeys(name for sample in samples for name in sample.judgement.metrics)
    estimates: dict[str, Estimate] = {}
    for name in names:
        values = [[metrics[name] for metrics in task if name in metrics] for task in by_task.values()]
        values = [task for task in values if task]
        head, comma, rest = name.partition(",")
        if head != "pass":
            estimates[name] = estimate([sum(task) / len(task) for task in values], samples=each)
            continue
        for k in _PASS_AT:
            if k <= each:
                shares = [pass_at_k(len(task), round(sum(task)), k) for task in values]
                estimates[f"pass@{k}{comma}{rest}"] = estimate(shares, samples=each)
    return estimates


def write_samples(result: SuiteResult, path: Path) -> None:
    """Write one JSON line a sample: `task_id` and `completion` as human-eval and evalplus read them, and `solution`
    where prompt and completion are a program; further fields say how it was judged.
    """
    with path.open("w", encoding="utf-8") as stream:
        for row in sample_rows(result.samples):
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def sample_rows(samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `write_samples`."""
    for sample in samples:
        question, metrics = sample.task.question, sample.judgement.metrics
        row: dict[str, Any] = {"task_id": sample.task.task_id, "completion": sample.completion}
        if isinstance(question, Continue) and "canonical_solution" in sample.task.row:
            row["solution"] = question.prompt + sample.completion
        elif sample.task.task_id.startswith("Mbpp/"):
            row["solution"] = sample.completion
        if "pass" in metrics:
            row["passed"] = bool(metrics["pass"])
        yield row | {"sample": sample.number, "result": sample.judgement.reason, "metrics": dict(metrics)}


def _note_failure(failures: list[BaseException], judging: Future[Judgement]) -> None:
    error = None if judging.cancelled() else judging.exception()
    if error is not None:
        failures.append(error)
