"""Which number format this processor multiplies fastest: measured, since flags and speed disagree across machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Final

import torch

DTYPES: Final[Mapping[str, torch.dtype]] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def fastest_dtype() -> torch.dtype:
    """bfloat16 where a product in it is clearly faster than in float32 here, else float32."""
    seconds = {dtype: _product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return torch.bfloat16 if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else torch.float32


def _product_seconds(dtype: torch.dtype) -> float:
    matrix = torch.randn(1024, 1024).to(dtype)
    # Where no kernel is made for it, one product takes seconds.
    return shortest_seconds(lambda: matrix @ matrix, rounds=3, most_s=2.0)


def shortest_seconds(run: Callable[[], object], rounds: int, *, most_s: float = inf) -> float:
    """The shortest time of `rounds` runs after one that warms up; no other begins once they took `most_s` in all."""
    best, begun = inf, time.perf_counter()
    for _ in range(rounds + 1):
        started = time.perf_counter()
        run()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - begun > most_s:
            break
    return best
