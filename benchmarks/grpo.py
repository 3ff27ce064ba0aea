"""What practice teaches a tiny network, and what drawing, running and learning cost: python -m benchmarks.grpo.

A network of 2 layers learns to write one-line functions ("multiply by 7") from a hundred solutions, is stopped early,
and practises on tasks with tests. Tasks that it never saw are answered before and after, and compared in pairs.
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.support.small_functions import MACHINE, RECIPE, Course, pass_rates, samples
from train.evaluate.sandbox import Sandbox
from train.rewards import Judge, TestRewards
from train.stages.align import align


def main() -> None:
    """Fine-tune, practise, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning-steps", type=int, default=190)
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--variant", choices=["token", "sequence"], default="token")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    course, every = Course.build(), samples()
    shown, practised, held_out = every[:100], every[:170], every[170:]
    recipe = replace(RECIPE, steps=arguments.steps, variant=arguments.variant)
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.process_time()
        tuned = course.fine_tune(course.network(), shown, folder / "tuned", steps=arguments.tuning_steps)
        after_tuning = time.process_time()
        aligned = align(
            tuned,
            [sample.task for sample in practised],
            course.words,
            course.dialogue,
            TestRewards(judge=Judge(Sandbox(), seconds=2), compile_reward=recipe.compile_reward),
            recipe,
            MACHINE,
            folder / "aligned",
            seed=arguments.seed,
            on_step=lambda metric: print(f"{metric.step} {metric.figures}") if metric.step % 10 == 0 else None,
        )
        after_practice = time.process_time()
    before, after = (pass_rates(network, course, held_out, count=8) for network in (tuned, aligned))
    better = sum(now > then for then, now in zip(before, after, strict=True))
    worse = sum(now < then for then, now in zip(before, after, strict=True))
    print(
        f"{len(held_out)} held-out tasks, 8 answers each: {sum(before) / len(before):.1%} pass after tuning, "
        f"{sum(after) / len(after):.1%} after practice; {better} tasks better, {worse} worse, "
        f"p = {sign_test(better, worse):.2g} (sign test); CPU seconds here, the sandbox's own left out: "
        f"{after_tuning - began:.0f} tuning, {after_practice - after_tuning:.0f} for {recipe.steps} steps of practice"
    )


def sign_test(better: int, worse: int) -> float:
    """Return the probability of at least so many better ones if both were as likely."""
    count = better + worse
    likelier = sum(math.comb(count, more) for more in range(better, count + 1))
    return likelier / float(2**count)


if __name__ == "__main__":
    main()
