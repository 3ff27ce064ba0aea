"""What practice teaches a tiny network, and what drawing, running and learning cost: python -m benchmarks.grpo.

A network of 2 layers learns to write one-line functions ("multiply by 7") from a hundred solutions, is stopped early,
and practises on tasks with tests. Tasks that it never saw are answered before and after, and compared in pairs.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.support.small_functions import (
    RECIPE,
    TUNING_STEPS,
    Course,
    paired_difference,
    pass_rates,
    practise,
    samples,
)
from train.metrics import Metric


def main() -> None:
    """Fine-tune, practise once for each seed, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning-steps", type=int, default=TUNING_STEPS)
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--learning-rate", type=float, default=RECIPE.learning_rate)
    parser.add_argument("--prompts", type=int, default=RECIPE.prompts_per_step)
    parser.add_argument("--variant", choices=["token", "sequence"], default="token")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--answers", type=int, default=16, help="to each held-out task, before and after")
    arguments = parser.parse_args()
    course, every = Course.build(), samples()
    shown, practised, held_out = every[:100], every[:170], every[170:]
    recipe = replace(
        RECIPE,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        prompts_per_step=arguments.prompts,
        variant=arguments.variant,
    )
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.process_time()
        tuned = course.fine_tune(course.network(), shown, folder / "tuned", steps=arguments.tuning_steps)
        print(f"{time.process_time() - began:.0f} CPU seconds of tuning")
        before = pass_rates(tuned, course, held_out, count=arguments.answers)
        any_of = sum(rate > 0 for rate in before) / len(before)
        print(f"{any_of:.1%} of {len(held_out)} held-out tasks pass in one of {arguments.answers} answers")
        for seed in arguments.seeds:
            began = time.process_time()
            ours = folder / f"seed{seed}"
            aligned = practise(tuned, course, practised, ours, recipe, seed=seed, on_step=_tell)
            seconds = time.process_time() - began
            after = pass_rates(aligned, course, held_out, count=arguments.answers)
            print(f"seed {seed}, {recipe.steps} steps, {seconds:.0f} CPU seconds beside the sandbox's:")
            print(f"  {_compared(before, after)}", flush=True)


def sign_test(better: int, worse: int) -> float:
    """Return the probability of at least so many better ones if both were as likely."""
    count = better + worse
    likelier = sum(math.comb(count, more) for more in range(better, count + 1))
    return likelier / float(2**count)


def _tell(metric: Metric) -> None:
    if metric.step % 10 == 0:
        shown = ", ".join(f"{name} {metric.figures[name]:.3f}" for name in ("reward", "solved", "divergence"))
        print(f"  step {metric.step}: {shown}")


def _compared(before: Sequence[float], after: Sequence[float]) -> str:
    gain, error = paired_difference(before, after)
    better = sum(now > then for then, now in zip(before, after, strict=True))
    worse = sum(now < then for then, now in zip(before, after, strict=True))
    return (
        f"{sum(before) / len(before):.1%} of answers pass before, {sum(after) / len(after):.1%} after: "
        f"{gain:+.1%} (95 % interval {gain - 1.96 * error:+.1%} to {gain + 1.96 * error:+.1%}, paired by task); "
        f"{better} tasks better, {worse} worse, p = {sign_test(better, worse):.1g} (sign test)"
    )


if __name__ == "__main__":
    main()
