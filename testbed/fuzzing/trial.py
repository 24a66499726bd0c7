"""One input judged, and many of a seed: what a reader refuses, and where it fails."""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.memory import peak_rss_bytes
from contract.errors import SubmodelError
from testbed.fuzzing.mutation import mutate
from testbed.fuzzing.reader import Reader
from testbed.fuzzing.readers import READERS

MAX_S = 1.0  # of processor time, so that a busy machine is no failure
MAX_BYTES = 1 << 30
KEPT = 20  # inputs of failures, a kind each


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


def run(name: str, inputs: int, seed: int, keep: Callable[[bytes], None] = lambda data: None) -> dict[str, Any]:
    """Try `inputs` changed inputs of a reader; return the figures, and the failures by their kind.

    `keep` is given the first input of each of the first `KEPT` kinds of failure.
    """
    rng = random.Random(f"{name}{seed}")
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, READERS[name](Path(folder)) as reader:
        for data in reader.seeds:
            judge(reader, data)  # the first one may import libraries, and take too long
            assert judge(reader, data)[0] == "accepted", "a seed must be valid, or nothing behind its check is tried"
        began, memory = time.perf_counter(), peak_rss_bytes() or 0
        for number in range(inputs):
            data = mutate(rng.choice(reader.seeds), rng, reader.shape)
            outcome, why = judge(reader, data)
            outcomes[outcome] += 1
            if outcome == "failed":
                kind = why.partition(": ")[0] if " at " in why else why.rstrip("0123456789. s")
                kinds[kind] += 1
                if kinds[kind] == 1:
                    print(f"{name} {number}: {why}", file=sys.stderr, flush=True)
                    if len(kinds) <= KEPT:
                        keep(data)
        grown = (peak_rss_bytes() or 0) - memory
        seconds = time.perf_counter() - began
    if grown > MAX_BYTES:
        kinds["memory"] += 1
        outcomes["failed"] += 1
    return {
        "reader": name,
        "seed": seed,
        "inputs": inputs,
        "accepted": outcomes["accepted"],
        "refused": outcomes["refused"],
        "failed": outcomes["failed"],
        "failures": dict(kinds),
        "peak_memory_grew_bytes": grown,
        "seconds": round(seconds, 1),
    }
