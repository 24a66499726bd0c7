"""Other ways to compute what modules of torch compute, for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced_forwards(forwards: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Within the block each module answers by its function in `forwards`."""
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in forwards:
            del module.forward
