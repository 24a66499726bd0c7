"""Base against sub-model on repositories that nothing was tuned on: size, quality with intervals, time a stage.

    python -m benchmarks.build_quality --base qwen2.5-coder-0.5b

writes benchmarks/results/build-BASE-REPOSITORY.json for each. Stages that an earlier run
finished are kept, with the times that they took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, describe_versions
from benchmarks.repositories import CACHE, REPORTED, Repository, fetch, tree_hash

RESULTS = Path(__file__).parent / "results"
KEPT_KEYS = (
    "models",
    "against_base",
    "baselines",
    "plan",
    "calibration",
    "recovery",
    "parity",
    "stages",
    "seconds",
    "peak_rss_bytes",
)


def build(repository: Repository, base: str, arguments: list[str]) -> dict[str, Any]:
    """Build in a folder of the cache; the report without code of the repository."""
    folder = fetch(repository)
    output = CACHE / "builds" / f"{folder.name}-{base}"
    command = [
        sys.executable,
        "-m",
        "submodel",
        "build",
        str(folder),
        "-o",
        str(output),
        "--base",
        base,
        "--positions",
        "200",
        "--score-bundle",
        "--json",
    ]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True)
    report = json.loads(done.stdout)
    shown = {key: report[key] for key in KEPT_KEYS}
    shown["plan"] = {key: value for key, value in report["plan"].items() if not key.startswith("layer_")}
    shown["stage_seconds"] = round(sum(stage["seconds"] for stage in report["stages"]), 1)
    return {
        "repository": f"{repository.index} {repository.name} {repository.version}",
        "language": repository.language,
        "tree_sha256": tree_hash(folder),
        "base": report["base"],
        **shown,
    }


def main() -> None:
    """Build them all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--only", help="one repository by name")
    known, rest = parser.parse_known_args()
    chosen = [one for one in REPORTED if known.only in (None, one.name)]
    for repository in chosen:
        arguments = " ".join(["--base", known.base, "--only", repository.name, *rest])
        document = {
            "command": f"python -m benchmarks.build_quality {arguments}",
            "machine": describe_machine(),
            "versions": describe_versions(),
            "build": build(repository, known.base, rest),
        }
        path = RESULTS / f"build-{known.base}-{repository.name}.json"
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
