"""`midfill train`: from folders of source to a model folder that `midfill lsp` serves."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from engine.errors import EngineError
from engine.model_names import resolve
from train.config import load, recipe_names
from train.errors import TrainError
from train.evaluate.verb import add_arguments as add_evaluate_arguments
from train.run import Run
from train.stages.fit_mixture import fit
from train.stages.pretrain import Metric


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
    run = verbs.add_parser("run", help="train a model from folders of source, or go on where it stopped")
    run.add_argument("recipe", help=f"one of {', '.join(recipe_names())}, or a .toml file")
    run.add_argument("sources", nargs="+", type=Path, metavar="FOLDER", help="a repository or folder of source")
    run.add_argument("--output", required=True, type=Path, help="the run's folder; the model is in its model/")
    run.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="overrides")
    run.set_defaults(verb=_run)
    mixture = verbs.add_parser("mixture", help="fit how a model is mixed with the n-gram cache")
    mixture.add_argument("model", help="a model folder, or its name")
    mixture.add_argument("repositories", nargs="+", type=Path, metavar="REPOSITORY", help="not in its training data")
    mixture.add_argument("--holes", type=int, default=300, help="of each kind in each repository (default: 300)")
    mixture.add_argument("--seed", type=int, default=1)
    mixture.set_defaults(verb=_mixture)
    evaluate = verbs.add_parser("evaluate", help="measure a model with benchmarks or a repository of your own")
    add_evaluate_arguments(evaluate)
    recipes = verbs.add_parser("recipes", help="list the recipes")
    recipes.set_defaults(verb=_recipes)
    return parser


def _recipes(_arguments: argparse.Namespace) -> int:
    print("\n".join(recipe_names()))
    return 0


def _mixture(arguments: argparse.Namespace) -> int:
    report = fit(resolve(arguments.model), arguments.repositories, holes=arguments.holes, seed=arguments.seed)
    print(f"bits per token on {report.tokens:,} tokens: network {report.network:.3f}, ", end="")
    print(f"n-gram cache {report.cache:.3f}, both {report.both:.3f}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    run = Run(load(arguments.recipe, arguments.overrides), arguments.sources, arguments.output)
    with tqdm(unit="step", disable=None) as progress:

        def show(metric: Metric) -> None:
            progress.total = metric.steps
            progress.update(metric.step - progress.n)
            progress.set_postfix_str(f"loss {metric.loss:.3f}, {metric.tokens_per_second:,.0f} tokens/s")
            if metric.held_out_loss is not None:
                progress.write(
                    f"step {metric.step}/{metric.steps}: held-out loss {metric.held_out_loss:.4f}", sys.stderr
                )

        folder = run.execute(lambda line: progress.write(line, sys.stderr), show)
    print(folder)
    return 0
