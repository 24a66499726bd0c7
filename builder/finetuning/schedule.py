"""How many steps a budget buys, and the learning rate of each: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

FLOOR: Final = 0.1  # of the peak: what the learning rate falls to behind the last step


def steps_within(seconds: float, seconds_of_steps: Iterable[float], *, least: int) -> int:
    """Steps that fit into `seconds`, at least half of the last one: `least` or more, and no more than there are."""
    count, end = 0, 0.0
    for step_s in seconds_of_steps:
        if count >= least and end + step_s / 2 > seconds:
            break
        count, end = count + 1, end + step_s
    return count


def learning_rate_at(step: int, total: int, *, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a half cosine down to FLOOR of it; step counts from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def validation_steps(total: int, count: int) -> frozenset[int]:
    """After how many steps the model is validated: `count` times, evenly, the last time at the end."""
    return frozenset(round(total * (i + 1) / count) for i in range(count)) - {0}
