"""Held-out quality over minutes of fine-tuning, so that users can choose --minutes.

    python -m benchmarks.finetuning_minutes --base qwen2.5-coder-0.5b --only httpx

One pruned model, tuned anew for each budget. Writes benchmarks/results/minutes-BASE-REPOSITORY.json.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.builds import build, describe_repository, read_report, write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import REPORTED, add_only, chosen, fetch

MINUTES = (0.0, 5.0, 10.0, 20.0, 40.0)


def main() -> None:
    """One budget after the other; the file is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    add_only(parser, default=REPORTED[0].name)
    known, rest = parser.parse_known_args()
    (repository,) = chosen(known.only)
    folder = fetch(repository)
    rows: list[dict[str, Any]] = []
    for minutes in MINUTES:
        budget = ["--minutes", f"{minutes:g}", "--positions", "200", *rest]
        report = read_report(build(folder, f"{folder.name}-{known.base}-minutes", known.base, budget))
        kept = {key: report[key] for key in ("models", "against_base", "finetuning")}
        rows.append({"minutes": minutes, **kept})
        document = {
            "command": f"python -m benchmarks.finetuning_minutes --base {known.base} --only {known.only}",
            "machine": describe_machine(),
            "versions": describe_versions(),
            **describe_repository(repository, folder),
            "budgets": rows,
        }
        write_result(f"minutes-{known.base}-{repository.name}", document)


if __name__ == "__main__":
    main()
