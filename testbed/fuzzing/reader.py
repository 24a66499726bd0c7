"""The fuzzer: a reader of files or messages, how its valid seeds are changed, and how an input is judged."""

from __future__ import annotations

import copy
import json
import random
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from contract.errors import SubmodelError

Shape = Literal["binary", "json"]
MAX_S = 1.0  # of processor time, so that a busy machine is no failure

_NUMBERS = (0, 1, 2, 255, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**53, 2**63, 10**30, 1.5, -0.0, float("inf"), float("nan")),
    *("", "x", "x" * 5000, "\0", "\ud83d", "😋", "../..", "/etc/passwd", "file:///a.py", "[", "(?", "{{7*7}}"),
    *([], {}, [[]], [None], {"": {}}, {"a": 1}),
)


class Reader:
    """One reader, entered with a folder of its own. `seeds` are valid inputs, `shape` says how they are changed."""

    shape: Shape = "binary"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: list[bytes] = []

    def __enter__(self) -> Reader:
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Make the seeds."""

    def read(self, data: bytes) -> None:
        """Read one input as the program would. Raises a SubmodelError if that refuses it."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what runs."""


def mutate(seed: bytes, rng: random.Random, shape: Shape) -> bytes:
    """Return a seed with one to a few changes; most keep its structure, so that they pass the first checks."""
    if shape == "json" and rng.random() < 0.8:
        document = json.loads(seed)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            document = _change_value(document, rng)
        return json.dumps(document).encode("utf-8", "replace")
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        # Headers are where readers believe things: half of all changes hit the first kilobyte.
        at = rng.randrange(1 + min(len(data), 1024 if rng.random() < 0.5 else len(data)))
        width = rng.choice((1, 2, 4, 8))
        number = (rng.choice(_NUMBERS) % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))
        begin, end = at, at + rng.randrange(1, 64)
        replaced = rng.choice((number, rng.randbytes(width), b"", data[begin:end] * 2))
        data[begin : begin + width if replaced is number else end] = replaced
    return bytes(data)


def _change_value(document: Any, rng: random.Random) -> Any:
    """Return the document with one value, somewhere in it, that is another, comes twice, has another key, or goes."""
    places: list[tuple[Any, Any]] = []
    pending = [document]
    while pending:
        one = pending.pop()
        keys = list(one) if isinstance(one, dict) else list(range(min(len(one), 40))) if isinstance(one, list) else []
        places += [(one, key) for key in keys]
        pending += [one[key] for key in keys if isinstance(one[key], (dict, list))]
    if not places or rng.random() < 0.01:
        return copy.deepcopy(rng.choice(_VALUES))
    holder, key = rng.choice(places)
    choice = rng.randrange(5)
    if choice == 0:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        holder[rng.choice(("", "x", "id", "method", "params", "version", f"{key}s"))] = holder.pop(key)
    elif choice == 2 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(rng.choice((1, 3, 50)))]
    else:
        holder[key] = rng.choice(_NUMBERS) if choice == 3 else copy.deepcopy(rng.choice(_VALUES))
    return document


def judge(reader: Reader, data: bytes, max_s: float = MAX_S) -> tuple[str, str]:
    """("accepted" | "refused" | "failed", why) of one input, which fails above `max_s` seconds of processor time."""
    started = time.process_time()
    try:
        reader.read(data)
        outcome, why = "accepted", ""
    except SubmodelError as error:
        outcome, why = "refused", str(error)
        if "\n" in why.strip() or not why.strip():
            outcome, why = "failed", f"the error is not one sentence: {why[:200]!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome, why = "failed", f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[:300]
    if outcome != "failed" and (seconds := time.process_time() - started) > max_s:
        outcome, why = "failed", f"it took {seconds:.1f} s"
    return outcome, why


def run(reader: Reader, inputs: int, seed: int) -> Counter[str]:
    """Try so many changed inputs of a reader; return how many were accepted and refused, and why others failed."""
    rng = random.Random(seed)
    for data in reader.seeds:
        judge(reader, data)  # the first one may import libraries, and take too long
        assert judge(reader, data)[0] == "accepted", "a seed must be valid, or nothing behind its check is tried"
    judged = (judge(reader, mutate(rng.choice(reader.seeds), rng, reader.shape)) for _ in range(inputs))
    return Counter(why if outcome == "failed" else outcome for outcome, why in judged)
