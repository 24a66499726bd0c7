"""Single bytes changed in a bundle's files: each is found before the first answer, and named.

    python -m benchmarks.robustness.flips BUNDLE [--count 1000]

Files are chosen by chance, half of the time by their size and half of the time each alike, so that small ones are hit,
too. A change is found where `open_completer` raises a BundleError that names the file. Measures also what verification
costs at start: SHA-256 of all files alone, and the start with and without it. Writes benchmarks/results/flips.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.builds import size_of, write_result
from contract.bundle.bundle import read_bundle
from contract.bundle.manifest import build_of
from contract.errors import BundleError

STARTS = 5


def flip(bundle: Path, count: int, rng: random.Random) -> dict[str, Any]:
    """Change one byte, read, change it back."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.stat().st_size)
    sizes = [path.stat().st_size for path in files]
    tried: Counter[str] = Counter()
    missed: list[str] = []
    for _ in range(count):
        path = rng.choices(files, sizes)[0] if rng.random() < 0.5 else rng.choice(files)
        at, change = rng.randrange(path.stat().st_size), rng.randrange(1, 256)
        _change(path, at, change)
        tried[path.relative_to(bundle).as_posix()] += 1
        try:
            read_bundle(bundle)  # what `open_completer` waits for before it gives a completer
            missed.append(f"{path.name} at {at}")
        except BundleError as error:
            if str(path) not in str(error):
                missed.append(f"{path.name} at {at}: {error}")
        _change(path, at, change)
    read_bundle(bundle)
    return {"flips": count, "found": count - len(missed), "missed": missed[:20], "flips_by_file": dict(tried)}


def measure_start(bundle: Path) -> dict[str, Any]:
    """Seconds of each part, the least of STARTS."""
    from lsp_server.completion import open_completer

    def least(work: Any) -> float:
        times = []
        for _ in range(STARTS):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return round(min(times), 3)

    return {
        "bytes": size_of(bundle),
        "read_with_hashes_s": least(lambda: read_bundle(bundle)),
        "read_without_s": least(lambda: read_bundle(bundle, verify=False)),
        "start_with_hashes_s": least(lambda: open_completer(bundle)),
        "start_without_s": least(lambda: open_completer(bundle, verified_build=build_of(bundle))),
    }


def _change(path: Path, at: int, change: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ change]))


def main() -> None:
    """Run it on a copy, so that the bundle itself is never touched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        copy = Path(shutil.copytree(arguments.bundle, Path(room) / "bundle"))
        figures = {"start": measure_start(copy), **flip(copy, arguments.count, random.Random(arguments.seed))}
    command = f"python -m benchmarks.robustness.flips {' '.join(sys.argv[1:])}"
    write_result("flips", {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(figures["found"] != figures["flips"])


if __name__ == "__main__":
    main()
