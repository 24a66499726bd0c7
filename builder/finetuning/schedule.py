"""How many steps a budget buys, and the learning rate of each: pure functions."""

from __future__ import annotations

import math


def steps_within(seconds: float, seconds_a_step: float, *, least: int, most: int) -> int:
    """Steps that fit into `seconds`, between `least` and `most`."""
    return max(least, min(most, int(seconds / seconds_a_step)))


def learning_rate_at(step: int, total: int, *, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Linear warm-up to `peak`, then a half cosine down to `floor` of it; step counts from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def validation_steps(total: int, count: int) -> frozenset[int]:
    """After how many steps the model is validated: `count` times, evenly, the last time at the end."""
    return frozenset(round(total * (i + 1) / count) for i in range(count)) - {0}
