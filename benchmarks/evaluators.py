"""Prove the evaluators on data that others wrote: their own solutions must score 100 %, wrong ones 0 %.

    python -m benchmarks.evaluators DATA [--suite humaneval ...] [--limit 50] [--judges 2]

DATA holds a folder for each benchmark: humaneval, mbpp, humaneval-infilling, cruxeval, pal-math, ds1000. Prints one
line a suite, with the ids of the solutions that fail, and exits with 1 if one fails that is not known to.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from train.evaluate.known_answers import KnownAnswers, failing_answer, right_answer, wrong_answer
from train.evaluate.runner import Sampling, SuiteResult, measure
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Suite
from train.evaluate.suites import SuiteOptions, open_suite

FOLDERS = {
    "humaneval": "humaneval",
    "mbpp-all": "mbpp",
    "infilling-random-light": "humaneval-infilling",
    "infilling-single": "humaneval-infilling",
    "infilling-random": "humaneval-infilling",
    "infilling-multi": "humaneval-infilling",
    "cruxeval-i": "cruxeval",
    "cruxeval-o": "cruxeval",
    "gsm8k": "pal-math",
    "svamp": "pal-math",
    "ds1000": "ds1000",
    "crosscodeeval-none": "crosscodeeval",
}
KNOWN_FAILURES = {
    "mbpp-all": frozenset({"Mbpp/367", "Mbpp/927"}),  # their tests use a class that the data do not define
    "svamp": frozenset({"svamp/351"}),  # its equation gives another number than its answer
}
MEASURED_ONLY = frozenset({"ds1000"})
"""Written for the library versions of 2022: what fails under today's is printed, not counted against us."""


def main() -> int:
    """Run and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--suite", action="append", choices=list(FOLDERS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--judges", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    sandbox = Sandbox()
    print(f"judged under {sandbox.protection.value}")
    unexpected = 0
    for name in arguments.suite or FOLDERS:
        suite = open_suite(name, SuiteOptions(data=arguments.data / FOLDERS[name], sandbox=sandbox))
        unexpected += prove(suite, arguments.limit, arguments.judges)
    return 1 if unexpected else 0


def prove(suite: Suite, limit: int | None, judges: int) -> int:
    """Print how solutions, wrong text and failing programs score; return how many came out otherwise than they must."""
    tasks = suite.tasks()
    began = time.perf_counter()
    right = run(suite, KnownAnswers("solutions", tasks, right_answer), limit, judges)
    seconds = time.perf_counter() - began
    failed = [sample for sample in right.samples if any(value < 1 for value in main_scores(sample.judgement.metrics))]
    unexpected = [sample for sample in failed if sample.task.task_id not in KNOWN_FAILURES.get(suite.name, ())]
    wrong_limit = min(limit or 200, 200)  # a wrong answer is as wrong everywhere; they cost as much as right ones
    wrong = run(suite, KnownAnswers("wrong text", tasks, wrong_answer), wrong_limit, judges)
    # A right program may never reach a hole (behind its last `return`): there only what does not parse is wrong.
    answer = wrong_answer if suite.name.startswith("infilling") else failing_answer
    failing = run(suite, KnownAnswers("failing programs", tasks, answer), wrong_limit, judges)
    accepted = [
        sample
        for result in (wrong, failing)
        for sample in result.samples
        if any(value > 0 for value in main_scores(sample.judgement.metrics))
    ]
    print(
        f"{suite.name:<24} solutions {right.tasks - len(failed):,} of {right.tasks:,} in {seconds:,.0f} s "
        f"({1e3 * seconds / max(1, right.tasks):.0f} ms each); wrong {len(accepted)} of {wrong.tasks + failing.tasks}",
        flush=True,
    )
    for sample in failed[:100]:
        known = "" if sample in unexpected else " (known)"
        print(f"    {sample.task.task_id}{known}: {sample.judgement.reason}")
    for sample in accepted[:20]:
        print(f"    accepted although wrong: {sample.task.task_id}")
    for reason, count in suite.skipped.items():
        print(f"    not asked: {count} ({reason})")
    return len(accepted) + (0 if suite.name in MEASURED_ONLY else len(unexpected))


def run(suite: Suite, model: KnownAnswers, limit: int | None, judges: int) -> SuiteResult:
    """Measure with a bar."""
    with tqdm(desc=f"{suite.name}, {model.name}", disable=None) as bar:
        return measure(
            suite,
            model,
            sampling=Sampling(),
            limit=limit,
            judges=judges,
            on_task=lambda done, _total: bar.update(done - bar.n),
        )


def main_scores(metrics: Mapping[str, float]) -> list[float]:
    """Return what must be 1 for a solution and 0 for a wrong answer: passing, or else matching exactly."""
    return [metrics["pass"]] if "pass" in metrics else [metrics["exact match"]]


if __name__ == "__main__":
    sys.exit(main())
