"""The learning rate by step: warm-up, stable, decay (MiniCPM, arXiv 2404.06395)."""

from train.config import PretrainConfig

FINAL_SHARE = 0.1
"""The rate ends at this share of its peak."""


def learning_rate(step: int, steps: int, config: PretrainConfig) -> float:
    """Return the rate for `step` (0-based) of `steps`: linear up, flat, then linear down to a tenth."""
    cooldown = max(1, round(steps * config.cooldown_share))
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = (steps - step) / cooldown
    return config.learning_rate * min(warm, max(FINAL_SHARE, min(1.0, FINAL_SHARE + (1 - FINAL_SHARE) * left)))
