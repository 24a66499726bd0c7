"""What an update of twenty commits takes, and how fast the server answers keystrokes meanwhile.

    python -m benchmarks.update_beside CHECKOUT --to COMMIT --name NAME [--minutes 2] [--passages 20]

CHECKOUT has a default build. It is brought to COMMIT. Then `submodel-lab replay` types its held-out passages at a
keystroke every PACE_MS, alone and beside `submodel update`, which runs at the lowest priority, as VS Code starts it.
Both runs type at the older bundle. Linux only. Writes benchmarks/results/update-beside-NAME.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.builds import checkout, run_program, write_result
from benchmarks.replays import PACE_MS, type_passages
from contract.bundle.bundle import find_trusted_bundle
from contract.children import python_module
from laboratory.replay.replay_run import ReplaySettings

LOWEST = "19"
TIMES = ("asked", "late", "milliseconds_p50", "milliseconds_p95")


def main() -> None:
    """Type alone, and beside the update."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--to", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--passages", type=int, default=20)
    known = parser.parse_args()
    folder = checkout(known.checkout, known.checkout.resolve(), known.to)
    alone = _type(folder, known.passages)
    words = ["update", ".", "--minutes", str(known.minutes), "--positions", "0", "--json"]
    update = subprocess.Popen(
        ["nice", "-n", LOWEST, *python_module("submodel"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        start_new_session=True,  # priorities count within a session: the session gets the lowest one, too
    )
    Path(f"/proc/{update.pid}/autogroup").write_text(LOWEST)
    beside = _type(folder, known.passages)
    if update.poll() is not None:
        raise SystemExit("The update ended before the passages were typed; name fewer --passages.")
    output, _ = update.communicate()
    if update.returncode:
        raise SystemExit(update.returncode)
    document = json.loads(output)
    write_result(
        f"update-beside-{known.name}",
        {
            "command": f"python -m benchmarks.update_beside CHECKOUT --to COMMIT --name {known.name} "
            f"--minutes {known.minutes:g} --passages {known.passages}",
            "commit": known.to,
            "pace_ms": PACE_MS,
            "alone": alone,
            "beside": beside,
            "update": {key: document[key] for key in ("kept", "stages", "finetuning") if key in document},
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,  # of the largest process
        },
    )


def _type(folder: Path, passages: int) -> dict[str, Any]:
    """Return the times of the server's answers, in milliseconds."""
    bundle = find_trusted_bundle(folder)
    document = type_passages(ReplaySettings(repository=folder, bundle=bundle, passages=passages, pace_ms=PACE_MS))
    return {key: document["runs"][-1][key] for key in TIMES}


if __name__ == "__main__":
    run_program(main)
