"""The learning rate of every step, as a function of the step alone."""

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["three_step", "cosine", "wsd", "constant"]

_FIRST_DROP = 0.8
_SECOND_DROP = 0.9
"""Shares of the tokens after which the rate falls by √(1/10) (DeepSeek-LLM, section 2.3; Coder says three stages)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the rate goes over a whole training stage.

    three_step  DeepSeek-Coder, section 3.4: flat, × √(1/10) after 80 % of the tokens, × √(1/10) again after 90 %.
    cosine      half a cosine from the peak to `final_share`.
    wsd         flat, then linear to `final_share` over the last `cooldown_share` (MiniCPM, arXiv 2404.06395).
    constant    flat.

    All but `constant` rise linearly over `warmup_steps` first, and reach the peak with the last of them.

    >>> paper = Schedule(shape="three_step", peak=4.2e-4, steps=211_928, warmup_steps=2000)
    >>> [f"{paper.rate(step):.5e}" for step in (1_999, 100_000, 180_000, 211_927)]
    ['4.20000e-04', '4.20000e-04', '1.32816e-04', '4.20000e-05']
    """

    shape: Shape
    peak: float
    steps: int
    warmup_steps: int = 0
    cooldown_share: float = 0.0
    final_share: float = 0.1
    """Of the peak, at the end of `cosine` and `wsd`; that of `three_step` is a tenth by its definition."""

    def rate(self, step: int) -> float:
        """Return the rate of `step`, counted from 0."""
        if self.shape == "constant":
            return self.peak
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.shape == "three_step":
            return self.peak * warm * self._three_step(step / max(1, self.steps))
        if self.shape == "cosine":
            return self.peak * warm * self._cosine(step)
        return self.peak * min(warm, self._decay(step))

    @property
    def final_rate(self) -> float:
        """The rate that training ends with."""
        return self.rate(self.steps)

    @staticmethod
    def _three_step(done: float) -> float:
        if done < _FIRST_DROP:
            return 1.0
        return math.sqrt(0.1) if done < _SECOND_DROP else 0.1

    def _cosine(self, step: int) -> float:
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
        return self.final_share + (1 - self.final_share) * falling

    def _decay(self, step: int) -> float:
        left = (self.steps - step) / max(1, round(self.steps * self.cooldown_share))
        return max(self.final_share, min(1.0, self.final_share + (1 - self.final_share) * left))
