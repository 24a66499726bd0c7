"""Held-out quality over minutes of recovery, so that users can choose --minutes.

    python -m benchmarks.recovery_minutes --base qwen2.5-coder-0.5b --only httpx

One pruned model, tuned anew for each budget. Writes benchmarks/results/minutes-BASE-REPOSITORY.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.repositories import CACHE, REPORTED, fetch, tree_hash

MINUTES = (0.0, 5.0, 10.0, 20.0, 40.0)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """One budget after the other; the file is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--only", default=REPORTED[0].name, help="one repository by name")
    known, rest = parser.parse_known_args()
    repository = next(one for one in REPORTED if one.name == known.only)
    folder = fetch(repository)
    output = CACHE / "builds" / f"{folder.name}-{known.base}-minutes"
    command = [
        sys.executable,
        "-m",
        "submodel",
        "build",
        str(folder),
        "-o",
        str(output),
        "--base",
        known.base,
        "--json",
    ]
    rows: list[dict[str, Any]] = []
    for minutes in MINUTES:
        budget = ["--minutes", f"{minutes:g}", "--positions", "200"]
        done = subprocess.run([*command, *budget, *rest], stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        kept = {key: report[key] for key in ("models", "against_base", "recovery")}
        rows.append({"minutes": minutes, **kept})
        document = {
            "command": f"python -m benchmarks.recovery_minutes --base {known.base} --only {known.only}",
            "machine": describe_machine(),
            "versions": describe_versions(),
            "repository": f"{repository.index} {repository.name} {repository.version}",
            "tree_sha256": tree_hash(folder),
            "budgets": rows,
        }
        path = RESULTS / f"minutes-{known.base}-{repository.name}.json"
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
