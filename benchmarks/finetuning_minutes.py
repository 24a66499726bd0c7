"""Held-out quality over minutes of fine-tuning, so that users can choose --minutes.

    python -m benchmarks.finetuning_minutes --base qwen2.5-coder-0.5b --only httpx [--budgets 2.5,5,10,20]

One pruned model is tuned again for each budget. Each result is compared with that of the budget before, line by line,
with intervals over files. Writes benchmarks/results/minutes-BASE-REPOSITORY.json. Other options are those of
`submodel build`.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.builds import build, describe_repository, read_report, run_program, scores_in, write_result
from benchmarks.measured_repositories import REPORTED, add_only, chosen, fetch
from builder.evaluation.scores import Scores, compare

MINUTES = "2.5,5,10,20"


def main() -> None:
    """One budget after the other; the file is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    add_only(parser, default=REPORTED[0].name)
    parser.add_argument("--budgets", default=MINUTES, help="minutes of fine-tuning, one build each")
    known, rest = parser.parse_known_args()
    (repository,) = chosen(known.only)
    folder = fetch(repository)
    rows: list[dict[str, Any]] = []
    before: Scores | None = None
    for minutes in map(float, known.budgets.split(",")):
        budget = ["--minutes", f"{minutes:g}", "--positions", "200", *rest]
        output = build(folder, f"{folder.name}-{known.base}-minutes", known.base, budget)
        report = read_report(output)
        kept = {key: report[key] for key in ("models", "against_base", "finetuning", "seconds")}
        ours = scores_in(output, "score the sub-model")
        against = {} if before is None else {"against_the_budget_before": compare(ours, before)}
        rows.append({"minutes": minutes, **kept, **against})
        before = ours
        document = {
            "command": f"python -m benchmarks.finetuning_minutes --base {known.base} --only {known.only} "
            f"--budgets {known.budgets}" + "".join(f" {word}" for word in rest),
            **describe_repository(repository, folder),
            "budgets": rows,
        }
        write_result(f"minutes-{known.base}-{repository.name}", document)


if __name__ == "__main__":
    run_program(main)
