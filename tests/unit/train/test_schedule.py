"""The learning rate at the published breakpoints (DeepSeek-LLM, section 2.3; DeepSeek-Coder, section 3.4)."""

import math

import pytest

from train.config import load
from train.schedule import Schedule
from train.stages.pretrain import pretrain_schedule, pretrain_steps

PUBLISHED = {
    # recipe: steps of 2T tokens, and the three rates
    "1.3b": (476_837, 5.3e-4, 1.67601e-4, 5.3e-5),
    "6.7b": (211_928, 4.2e-4, 1.32816e-4, 4.2e-5),
    "33b": (127_157, 3.5e-4, 1.10680e-4, 3.5e-5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_three_steps_fall_at_80_and_90_percent_of_the_tokens(name: str) -> None:
    recipe = load(name)
    steps, *rates = PUBLISHED[name]
    row_tokens = recipe.data.row_tokens
    assert pretrain_steps(recipe.pretrain, rows=1_000_000, row_tokens=row_tokens) == steps
    schedule = pretrain_schedule(recipe.pretrain, steps)
    eighty, ninety = math.ceil(0.8 * steps), math.ceil(0.9 * steps)
    for first, last, rate in zip((2000, eighty, ninety), (eighty - 1, ninety - 1, steps - 1), rates, strict=True):
        assert schedule.rate(first) == pytest.approx(rate, rel=1e-5)
        assert schedule.rate(last) == pytest.approx(rate, rel=1e-5)
    assert schedule.final_rate == pytest.approx(rates[0] / 10)


# ruff: noqa: E501
POINTS = {
    "three steps warm up from the first step": (Schedule(shape="three_step", peak=2.0, steps=100_000, warmup_steps=2000), 0, 1e-3),
    "half of the warm-up is half of the peak": (Schedule(shape="three_step", peak=2.0, steps=100_000, warmup_steps=2000), 999, 1.0),
    "warm-up ends at the peak": (Schedule(shape="three_step", peak=2.0, steps=100_000, warmup_steps=2000), 1999, 2.0),
    "a cosine starts its fall at the peak": (Schedule(shape="cosine", peak=2.0, steps=1100, warmup_steps=100), 100, 2.0),
    "a cosine is half way at its middle": (Schedule(shape="cosine", peak=2.0, steps=1100, warmup_steps=100), 600, 1.1),
    "a cosine ends at a tenth": (Schedule(shape="cosine", peak=2.0, steps=1100, warmup_steps=100), 1100, 0.2),
    "a cosine may end at zero": (Schedule(shape="cosine", peak=2.0, steps=1100, warmup_steps=100, final_share=0.0), 1100, 0.0),
    "wsd warms up": (Schedule(shape="wsd", peak=1e-3, steps=100, warmup_steps=10, cooldown_share=0.4), 0, 1e-4),
    "wsd is flat in between": (Schedule(shape="wsd", peak=1e-3, steps=100, warmup_steps=10, cooldown_share=0.4), 50, 1e-3),
    "wsd starts to cool at the peak": (Schedule(shape="wsd", peak=1e-3, steps=100, warmup_steps=10, cooldown_share=0.4), 60, 1e-3),
    "wsd is half way at half of its cool-down": (Schedule(shape="wsd", peak=1e-3, steps=100, warmup_steps=10, cooldown_share=0.4), 80, 0.55e-3),
    "wsd ends at a tenth": (Schedule(shape="wsd", peak=1e-3, steps=100, warmup_steps=10, cooldown_share=0.4), 100, 1e-4),
    "a constant rate has no warm-up": (Schedule(shape="constant", peak=1e-3, steps=100, warmup_steps=10), 0, 1e-3),
}  # fmt: skip


@pytest.mark.parametrize("case", POINTS)
def test_the_rate_at_its_breakpoints(case: str) -> None:
    schedule, step, rate = POINTS[case]
    assert schedule.rate(step) == pytest.approx(rate)


def test_the_cosine_is_that_of_transformers() -> None:
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-5)
    reference = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=60)
    ours = Schedule(shape="cosine", peak=1e-5, steps=60, warmup_steps=10, final_share=0.0)
    for step in range(60):
        if step >= 10:  # theirs starts at zero, a step that learns nothing; ours one step later in the warm-up
            assert ours.rate(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()
