"""How far a piece of work is, where it is a part of a larger one, and what happens in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

OnProgress = Callable[[int, int], None]  # (done, of all)
OnEvent = Callable[[str], None]  # a sentence for the user

STEPS = 1_000  # of the whole


def no_progress(done: int, total: int) -> None:
    """Report to nobody."""


def no_event(sentence: str) -> None:
    """Report to nobody."""


def part_of(whole: OnProgress, start: float, end: float) -> OnProgress:
    """The progress of a part that takes the shares from `start` to `end` (0 to 1) of the whole's time."""

    def report(done: int, total: int) -> None:
        whole(round(STEPS * (start + (end - start) * done / total)), STEPS)

    return report


def counted(whole: OnProgress, total: int) -> Callable[[], None]:
    """A function that is called after each of about `total` equal steps; more of them count as the last."""
    done = itertools.count(1)
    return lambda: whole(min(next(done), total), total)
