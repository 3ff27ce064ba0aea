"""`midfill train`: from folders of source to a model folder that `midfill lsp` serves."""

import argparse
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from engine.errors import EngineError
from engine.model_names import resolve
from train import data_verb, tokenizer_verb
from train.adapt import AdaptSettings, adapt
from train.config import continued_recipe_names, load, load_continued, recipe_names
from train.continued_run import continue_model
from train.data.corpus import HOST, fetch_corpus, manifest_names, read_manifest
from train.errors import RecipeError, TrainError
from train.evaluate.verb import add_arguments as add_evaluate_arguments
from train.metrics import Metric
from train.plot import plot
from train.processes import processes
from train.run import Run
from train.stages.fit_mixture import fit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 after an error the user can mend)."""
    arguments = _parser().parse_args(argv)
    try:
        result: int = arguments.verb(arguments)
    except (TrainError, EngineError) as error:
        print(f"midfill: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="midfill train", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    data_verb.add_parser(verbs)
    tokenizer_verb.add_parser(verbs)
    corpus = verbs.add_parser("corpus", help="fetch the sources of a manifest, each at its commit or version")
    corpus.add_argument("manifest", help=f"one of {', '.join(manifest_names())}, or a .toml file")
    corpus.add_argument("--output", required=True, type=Path, help="the folder; training/* in it are sources for `run`")
    corpus.add_argument("--host", default=HOST, help=f"where repositories are fetched from (default: {HOST})")
    corpus.set_defaults(verb=_corpus)
    run = verbs.add_parser("run", help="train a model from folders of source, or go on where it stopped")
    run.add_argument("recipe", help=f"one of {', '.join(recipe_names())}, or a .toml file")
    run.add_argument(
        "sources",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="a repository or folder of source (default: Python's own standard library)",
    )
    run.add_argument("--output", type=Path, help="the run's folder; the model is in its model/ (default: runs/RECIPE)")
    run.add_argument(
        "--from", dest="start_from", metavar="MODEL", help="start with this model's tokenizer, shape and weights"
    )
    run.add_argument("--instructions", type=Path, help="JSON lines for `instruct` (default: the sources' docstrings)")
    run.add_argument("--tasks", type=Path, help="JSON lines with tests for `align` (default: the sources' examples)")
    run.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="overrides")
    run.set_defaults(verb=_run)
    mixture = verbs.add_parser("mixture", help="fit how a model is mixed with the n-gram cache")
    mixture.add_argument("model", help="a model folder, or its name")
    mixture.add_argument("repositories", nargs="+", type=Path, metavar="REPOSITORY", help="not in its training data")
    mixture.add_argument("--holes", type=int, default=300, help="of each kind in each repository (default: 300)")
    mixture.add_argument("--seed", type=int, default=1)
    mixture.set_defaults(verb=_mixture)
    goes_on = verbs.add_parser("continue", help="go on with any Llama-shaped model on a weighted mix of sources")
    goes_on.add_argument("recipe", help=f"one of {', '.join(continued_recipe_names())}, or a .toml file")
    goes_on.add_argument("model", help="a model folder, or its name")
    goes_on.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=PATH",
        dest="sources",
        help="text for a part of the mixture: a folder, or JSON lines with `text`",
    )
    goes_on.add_argument("--output", required=True, type=Path, help="the run's folder; the model is in its model/")
    goes_on.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="overrides")
    goes_on.set_defaults(verb=_continue)
    adapts = verbs.add_parser("adapt", help="adapt a model to your own repository, and serve it there if it is better")
    adapts.add_argument("repository", type=Path, help="a git repository with some history")
    adapts.add_argument("--model", default="default", help="a model folder, or its name (default: default)")
    for name, text in (
        ("tokens", "most tokens to train on"),
        ("passes", "most times that the repository is read"),
        ("learning_rate", "peak learning rate"),
        ("holes", "places of each kind that it is judged by"),
    ):
        value = getattr(AdaptSettings(), name)
        adapts.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{text} (default: {value:g})"
        )
    adapts.set_defaults(verb=_adapt)
    curves = verbs.add_parser("plot", help="draw a run's curves to curves.png and curves.html")
    curves.add_argument("run", type=Path, help="the run's folder")
    curves.set_defaults(verb=_plot)
    evaluate = verbs.add_parser("evaluate", help="measure a model with benchmarks or a repository of your own")
    add_evaluate_arguments(evaluate)
    recipes = verbs.add_parser("recipes", help="list the recipes")
    recipes.set_defaults(verb=_recipes)
    return parser


def _recipes(_arguments: argparse.Namespace) -> int:
    print(
        "\n".join([*recipe_names(), *(f"{name} (for `midfill train continue`)" for name in continued_recipe_names())])
    )
    return 0


def _mixture(arguments: argparse.Namespace) -> int:
    report = fit(resolve(arguments.model), arguments.repositories, holes=arguments.holes, seed=arguments.seed)
    print(
        f"read {report.mode.value}; bits per token on {report.tokens:,} tokens: network {report.network:.3f}, ", end=""
    )
    print(f"n-gram cache {report.cache:.3f}, both {report.both:.3f}; lines compared in {report.comparisons:,} holes")
    return 0


def _corpus(arguments: argparse.Namespace) -> int:
    sources = read_manifest(arguments.manifest)
    with _progress() as (tell, _):
        for folder in fetch_corpus(sources, arguments.output, host=arguments.host, tell=tell):
            print(folder)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    sources = arguments.sources or [Path(sysconfig.get_path("stdlib"))]
    output = arguments.output or Path("runs") / Path(arguments.recipe).stem
    start = None if arguments.start_from is None else resolve(arguments.start_from)
    config = load(arguments.recipe, arguments.overrides)
    run = Run(config, sources, output, instructions=arguments.instructions, tasks=arguments.tasks, start_from=start)
    with _progress() as (tell, show):
        folder = run.execute(tell, show)
    print(folder)
    return 0


def _continue(arguments: argparse.Namespace) -> int:
    sources = [_named_path(text) for text in arguments.sources]
    config = load_continued(arguments.recipe, arguments.overrides)
    with _progress() as (tell, show):
        folder = continue_model(config, resolve(arguments.model), dict(sources), arguments.output, tell, show)
    print(folder)
    return 0


def _adapt(arguments: argparse.Namespace) -> int:
    settings = AdaptSettings(
        tokens=arguments.tokens,
        passes=arguments.passes,
        learning_rate=arguments.learning_rate,
        holes=arguments.holes,
    )
    with _progress() as (tell, show):
        result = adapt(arguments.repository.absolute(), arguments.model, settings, tell=tell, on_step=show)
    print(
        f"exact matches on {result.holes} holes in the last {result.commits} commits: {result.before} before, "
        f"{result.trained} after reading {result.tokens:,} tokens, {result.refitted} with the mixture fitted to "
        f"{result.practised} holes too"
    )
    kept = f"kept for {arguments.repository}; restart the editor's server to use it" if result.is_better else "not kept"
    print(f"the adapted model is {'better' if result.is_better else 'no better'}: {kept}")
    return 0 if result.is_better else 1


def _named_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise RecipeError(f"--source takes NAME=PATH, not {text!r}")
    return name, Path(path)


def _plot(arguments: argparse.Namespace) -> int:
    for path in plot(arguments.run):
        print(path)
    return 0


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], Callable[[Metric], None]]]:
    """Show a line that lives on a terminal, and lines that stay; on the main process alone."""
    with tqdm(unit="step", disable=None if processes().is_main else True, dynamic_ncols=True) as progress:

        def tell(line: str) -> None:
            if processes().is_main:
                progress.write(line, sys.stderr)

        def show(metric: Metric) -> None:
            if progress.total != metric.steps or metric.step <= progress.n:  # another stage, or one resumed
                progress.reset(metric.steps)
                progress.initial = metric.step - 1
                progress.n = progress.initial
            progress.update(metric.step - progress.n)
            used = "" if metric.utilization is None else f", MFU {metric.utilization:.0%}"
            skipped = ", skipped" if metric.skipped else ""
            progress.set_postfix_str(
                f"loss {metric.loss:.3f}{skipped}, {metric.tokens_per_second:,.0f} tokens/s{used}", refresh=False
            )
            if metric.held_out_loss is not None:
                tell(f"step {metric.step}/{metric.steps}: held-out loss {metric.held_out_loss:.4f}")

        yield tell, show
