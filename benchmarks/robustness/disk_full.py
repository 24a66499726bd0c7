"""A disk that fills up during a build: what was there stays, one sentence says so, and with room it goes on.

    python -m benchmarks.robustness.disk_full --points 20

The output lies on a tmpfs of its own, whose free room is set anew for each point, from nothing to nearly enough, by a
file that fills it. Half of the points begin with an older build, which must stay as it was. It needs the right to mount
(root on Linux); where that is missing it says so and measures nothing. Writes benchmarks/results/disk-full.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.builds import size_of, write_result
from benchmarks.robustness.tiny_build import check_state, command, hashes, make_inputs

SIZE_BYTES = 64 << 20
BLOCK = 1 << 16


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs of SIZE_BYTES at `folder`; exits with a sentence where it can't be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(
            f"Nothing was measured: a tmpfs can't be mounted here ({done.stderr.decode().strip()}); run it as root."
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def run(room: Path, points: int) -> dict[str, Any]:
    """Build with so much room at each point, look, make room, build on."""
    repository, base = make_inputs(room)
    whole = room / "whole"
    subprocess.run(command(repository, base, whole), stdout=subprocess.DEVNULL, check=True)
    wanted = hashes(whole)
    needed = size_of(whole)
    rows: list[dict[str, Any]] = []
    for point in range(points):
        has_older = point % 2 == 1
        with small_disk(room / "disk") as disk:
            output = disk / "output"
            if has_older:
                shutil.copytree(whole, output)
            # Less than a whole build needs in any case: with an older one in place new folders come beside old ones.
            free = int((0.6 if has_older else 0.95) * needed * point / max(1, points - 1))
            _fill(disk / "ballast", shutil.disk_usage(disk).free - free)
            words = command(repository, base, output) + (["--force"] if has_older else [])
            full = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            (disk / "ballast").unlink(missing_ok=True)
            lost = _lost(output, wanted) if has_older else []
            rows.append(
                {
                    "free_bytes": free,
                    "has_older_build": has_older,
                    "failed": full.returncode != 0,
                    "is_one_sentence": full.returncode == 0 or _is_reported(full.stderr),
                    "corrupt": check_state(output),
                    "lost_files": lost,
                    "completed_afterwards": not subprocess.run(
                        command(repository, base, output), stdout=subprocess.DEVNULL, check=False
                    ).returncode,
                    "hashes_differ": hashes(output) != wanted,
                }
            )
            print(f"{point + 1} of {points}: {json.dumps(rows[-1])}", file=sys.stderr)
        (room / "disk").rmdir()
    return {
        "points": points,
        "disk_was_full_at": sum(row["failed"] for row in rows),
        "lost_files": sum(len(row["lost_files"]) for row in rows),
        "corrupt": sum(row["corrupt"] is not None for row in rows),
        "without_a_sentence": sum(not row["is_one_sentence"] for row in rows),
        "not_completed_afterwards": sum(not row["completed_afterwards"] for row in rows),
        "hashes_differ": sum(row["hashes_differ"] for row in rows),
        "bytes_of_a_build": needed,
        "rows": rows,
    }


def _lost(output: Path, wanted: dict[str, str]) -> list[str]:
    """Files of the older build that are gone or others; those that were built anew are the same again."""
    found = hashes(output)
    return [name for name, digest in wanted.items() if found.get(name) != digest]


def _is_reported(words: str) -> bool:
    return "Traceback" not in words and "submodel: " in words


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(max(0, size) // BLOCK):
            file.write(bytes(BLOCK))


def main() -> None:
    """Run it; exits with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        figures = run(Path(room), arguments.points)
    command = f"python -m benchmarks.robustness.disk_full {' '.join(sys.argv[1:])}"
    write_result("disk-full", {"command": command, **figures})
    faults = ("lost_files", "corrupt", "without_a_sentence", "not_completed_afterwards", "hashes_differ")
    print(json.dumps({name: value for name, value in figures.items() if name != "rows"}, indent=2))
    sys.exit(any(figures[name] for name in faults))


if __name__ == "__main__":
    main()
