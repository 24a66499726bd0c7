"""Base against sub-model on repositories that nothing was tuned on: size, quality with intervals, time a stage.

    python -m benchmarks.build_quality --base qwen2.5-coder-0.5b

writes benchmarks/results/build-BASE-REPOSITORY.json for each. Stages that an earlier run
finished are kept, with the times that they took.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.builds import build, describe_repository, read_report, write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import Repository, add_only, chosen, fetch

KEPT_KEYS = (
    "models",
    "against_base",
    "baselines",
    "plan",
    "calibration",
    "finetuning",
    "parity",
    "stages",
    "seconds",
    "peak_rss_bytes",
)


def measure(repository: Repository, base: str, arguments: list[str]) -> dict[str, Any]:
    """Build in a folder of the cache; the report without code of the repository."""
    folder = fetch(repository)
    report = read_report(build(folder, f"{folder.name}-{base}", base, ["--positions", "200", *arguments]))
    return {
        **describe_repository(repository, folder),
        "base": report["base"],
        **{key: report[key] for key in KEPT_KEYS},
        "stage_seconds": round(sum(stage["seconds"] for stage in report["stages"]), 1),
    }


def main() -> None:
    """Build them all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    add_only(parser)
    known, rest = parser.parse_known_args()
    for repository in chosen(known.only):
        arguments = " ".join(["--base", known.base, "--only", repository.name, *rest])
        document = {
            "command": f"python -m benchmarks.build_quality {arguments}",
            "machine": describe_machine(),
            "versions": describe_versions(),
            "build": measure(repository, known.base, rest),
        }
        write_result(f"build-{known.base}-{repository.name}", document)


if __name__ == "__main__":
    main()
