"""Files of small Python functions: what the tests build of, where no line needs a meaning."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from operator import mul
from pathlib import Path


def python_text(name: str, functions: int, number_of: Callable[[int], int]) -> str:
    """Return functions `name_0`, `name_1` and so on; each adds the number that `number_of` gives for its own."""
    return "\n".join(f"def {name}_{i}(value):\n    return value + {number_of(i)}\n" for i in range(functions))


def write_python(
    folder: Path,
    numbers: Iterable[int],
    *,
    functions: int = 60,
    file: str = "part",
    name: str = "compute",
    rng: random.Random | None = None,
) -> Path:
    """Write a file of functions for each of `numbers`, and return the folder, which is made if it is missing.

    File 7 is `part_7.py`, and its functions are `compute_7_0` and so on. They add products of the two numbers, or what
    `rng` draws.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        number_of = partial(mul, number) if rng is None else lambda i: rng.randrange(9999)
        (folder / f"{file}_{number}.py").write_text(python_text(f"{name}_{number}", functions, number_of))
    return folder
