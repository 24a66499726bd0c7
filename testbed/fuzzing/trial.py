"""One input judged, and many of a seed: what a reader refuses, and where it fails."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from pathlib import Path

from contract.errors import SubmodelError
from testbed.fuzzing.reader import Reader, mutate

MAX_S = 1.0  # of processor time, so that a busy machine is no failure


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
