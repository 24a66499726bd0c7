"""Sequences in batches of about so many tokens, for validation and scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_batches(sequences: Iterable[T], tokens: int, length: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """The sequences in their order, in groups that each reach `tokens` tokens with their last one."""
    group: list[T] = []
    count = 0
    for sequence in sequences:
        group.append(sequence)
        count += length(sequence)
        if count >= tokens:
            yield group
            group, count = [], 0
    if group:
        yield group
