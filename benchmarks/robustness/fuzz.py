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
import sys
from pathlib import Path

from benchmarks.builds import write_result
from testbed.fuzzing.readers import READERS
from testbed.fuzzing.trial import run

CORPUS = Path(__file__).parents[2] / "tests" / "corpus"


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
    figures = run(arguments.reader, arguments.inputs, arguments.seed, lambda data: _keep(arguments.reader, data))
    command = f"python -m benchmarks.robustness.fuzz {' '.join(sys.argv[1:])}"
    if not arguments.no_result:
        write_result(f"fuzz-{arguments.reader}", {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(figures["failed"] > 0)


if __name__ == "__main__":
    main()
