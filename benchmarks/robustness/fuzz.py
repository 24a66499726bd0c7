"""Readers of files and messages from strangers, fed with changed ones: what they refuse, and where they fail.

    python -m benchmarks.robustness.fuzz --inputs 200000 --seed 0 --reader \
        gguf|safetensors|tokenizer|bundle|archive|protocol|report-json|stage-record|external-data

Valid seeds are changed where their structure is: numbers, lengths, JSON values, lines, or any byte. Refusing an input
with one of the project's own errors, in one sentence, is what is expected. A failure is any other exception, a second
sentence's line, an input that takes over MAX_S, or memory that grows by more than MAX_BYTES over the run. Each kind of
failure is kept in tests/corpus/READER/, which tests/test_fuzz_corpus.py replays. The same seed tries the same inputs.
Writes benchmarks/results/fuzz-READER.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.robustness.fuzz_mutation import mutate
from benchmarks.robustness.fuzz_readers import READERS, Reader
from builder.memory import peak_rss_bytes
from contract.errors import SubmodelError

CORPUS = Path(__file__).parents[2] / "tests" / "corpus"
MAX_S = 1.0  # of processor time, so that a busy machine is no failure
MAX_BYTES = 1 << 30
KEPT = 20  # inputs of failures, a kind each


def judge(reader: Reader, data: bytes) -> tuple[str, str]:
    """("accepted" | "refused" | "failed", why) of one input."""
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
    if outcome != "failed" and (seconds := time.process_time() - started) > MAX_S:
        outcome, why = "failed", f"it took {seconds:.1f} s"
    return outcome, why


def run(name: str, inputs: int, seed: int, *, keep: bool = True) -> dict[str, Any]:
    """Try so many inputs; the figures, and the failures by their kind."""
    rng = random.Random(f"{name}{seed}")
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, READERS[name](Path(folder)) as reader:
        for data in reader.seeds:
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
                    if keep and len(kinds) <= KEPT:
                        _keep(name, data)
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


def _keep(name: str, data: bytes) -> None:
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    (CORPUS / name / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)


def main() -> None:
    """One reader; exits with 1 where it failed on some input."""
    os.environ["RUST_BACKTRACE"] = "0"  # a backtrace takes a thousand times as long as the fault
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=sorted(READERS), required=True)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-result", action="store_true", help="a short look, whose figures are not kept")
    arguments = parser.parse_args()
    figures = run(arguments.reader, arguments.inputs, arguments.seed)
    document = {
        "command": f"python -m benchmarks.robustness.fuzz {' '.join(sys.argv[1:])}",
        **figures,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    if not arguments.no_result:
        write_result(f"fuzz-{arguments.reader}", document)
    print(json.dumps(figures, indent=2))
    sys.exit(figures["failed"] > 0)


if __name__ == "__main__":
    main()
