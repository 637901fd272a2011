"""The learning-rate schedule: linear warmup, then a cosine."""

import math

WARMUP_START = 0.01  # fraction of the learning rate at which warmup starts, as in the study


def learning_rate(step: float, *, steps: float, warmup: float, highest: float, lowest: float) -> float:
    """Return the learning rate of a step: linear warmup from 1 % of the peak, then a cosine schedule.

    Args:
        step: step, from 0 to ``steps``.
        steps: number of steps of the run.
        warmup: number of warmup steps; 0 starts at the peak.
        highest: peak learning rate.
        lowest: final learning rate.

    >>> [round(learning_rate(s, steps=10, warmup=2, highest=1.0, lowest=0.0), 3) for s in (0, 1, 2, 6, 10)]
    [0.01, 0.505, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return highest * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    progress = (step - warmup) / (steps - warmup)
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2
