"""The suites by name: what each needs, and how it is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from train.errors import EvaluationError
from train.evaluate import cruxeval
from train.evaluate.crosscodeeval import Context, CrossCodeEval, Direction
from train.evaluate.cruxeval import CruxEval
from train.evaluate.ds1000 import Ds1000
from train.evaluate.functions import TOOLCHAINS, HumanEval, Mbpp, MbppPart, MultiplE
from train.evaluate.infilling import HumanEvalInfilling, LineHoles, Rule, Split
from train.evaluate.needle import LONG_LENGTHS, Needle
from train.evaluate.program_aided import Problems, ProgramAided
from train.evaluate.repository_suites import PYTEST, RepositoryLines, RepositoryTests
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """What the command line gives a suite."""

    data: Path
    """The benchmark's file or folder, or the repository to cut holes into."""
    sandbox: Sandbox
    repositories: Path | None = None
    """Checkouts for CrossCodeEval's own retrieval."""
    count: int = 100
    """Holes to draw, where a suite draws them."""
    seed: int = 1
    test_command: str = PYTEST


Opener = Callable[[SuiteOptions], Suite]


def open_suite(name: str, options: SuiteOptions) -> Suite:
    """Open a suite by name.

    Raises:
        EvaluationError: there is none of that name, or its data are not there.
    """
    opener = SUITES.get(name)
    if opener is None:
        raise EvaluationError(f"there is no suite {name!r}; known: {', '.join(SUITES)}")
    return opener(options)


def _infilling(split: Split, rule: Rule = Rule.FIRST_LINE) -> Opener:
    return lambda options: HumanEvalInfilling(split, options.data, options.sandbox, rule=rule)


def _mbpp(part: MbppPart) -> Opener:
    return lambda options: Mbpp(options.data, options.sandbox, part=part)


def _lines(rule: Rule) -> Opener:
    return lambda options: LineHoles(options.data, rule=rule)


def _multipl_e(language: str) -> Opener:
    return lambda options: MultiplE(language, options.data, options.sandbox)


def _cross(context: Context, direction: Direction) -> Opener:
    return lambda options: CrossCodeEval(
        options.data, context=context, direction=direction, repositories=options.repositories
    )


def _crux(direction: cruxeval.Direction) -> Opener:
    return lambda options: CruxEval(direction, options.data, options.sandbox)


def _problems(problems: Problems) -> Opener:
    return lambda options: ProgramAided(problems, options.data, options.sandbox)


SUITES: Mapping[str, Opener] = {
    "humaneval": lambda options: HumanEval(options.data, options.sandbox),
    **{part.value: _mbpp(part) for part in MbppPart},
    **{f"multipl-e-{language}": _multipl_e(language) for language in TOOLCHAINS},
    "infilling-single": _infilling(Split.SINGLE),
    "infilling-single-whole": _infilling(Split.SINGLE, Rule.WHOLE),
    "infilling-multi": _infilling(Split.MULTI),
    "infilling-random": _infilling(Split.RANDOM),
    "infilling-random-light": _infilling(Split.RANDOM_LIGHT),
    "fim-line": _lines(Rule.FIRST_LINE),
    "fim-line-whole": _lines(Rule.WHOLE),
    **{f"crosscodeeval-{context.value}": _cross(context, Direction.LEFT_TO_RIGHT) for context in Context},
    **{f"crosscodeeval-infill-{context.value}": _cross(context, Direction.INFILL) for context in Context},
    "cruxeval-i": _crux(cruxeval.Direction.INPUT),
    "cruxeval-o": _crux(cruxeval.Direction.OUTPUT),
    "ds1000": lambda options: Ds1000(options.data, options.sandbox),
    "gsm8k": _problems(Problems.GSM8K),
    "svamp": _problems(Problems.SVAMP),
    "needle": lambda options: Needle(options.data, seed=options.seed),
    "needle-long": lambda options: Needle(
        options.data, lengths=LONG_LENGTHS, each=1, seed=options.seed, name="needle-long"
    ),
    "repository-lines": lambda options: RepositoryLines(options.data, count=options.count, seed=options.seed),
    "repository-tests": lambda options: RepositoryTests(
        options.data, options.sandbox, command=options.test_command, count=options.count, seed=options.seed
    ),
}
