"""A shared start against a dense one: the same repositories, built from a language's sub-model and from the dense base.

    python -m benchmarks.shared_start SHARED --base NAME --minutes 3.5 --dense-minutes 2 REPOSITORY...

SHARED is the model/ folder of `submodel build --language`; it must not have learned from the repositories. Minutes are
of fine-tuning: give the dense start fewer, as it prunes too, so that both builds take as long. Every build is scored on
the middles of held-out lines: bits, and whether the model would write the line. Builds are kept in the cache.
Writes benchmarks/results/shared-start.json after each repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import build, read_report, run_program, write_result
from benchmarks.clusters import by_cluster
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.middle_bits import measure_folder
from benchmarks.positions_table import lead, saving
from builder.datasets import open_dataset
from laboratory.experiments.quality import QualitySettings


def main() -> None:
    """Build both ways, score, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("repositories", type=Path, nargs="+")
    parser.add_argument("--base", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--dense-minutes", type=float, required=True)
    parser.add_argument("--middles", type=int, default=60)
    known = parser.parse_args()
    starts = {"shared start": (str(known.shared), known.minutes), "dense start": (known.base, known.dense_minutes)}
    reported: dict[str, Any] = {
        "command": f"python -m benchmarks.shared_start SHARED --base {known.base} --minutes {known.minutes:g} "
        f"--dense-minutes {known.dense_minutes:g} --middles {known.middles} "
        + " ".join(path.name for path in known.repositories),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "shared": json.loads((known.shared / "manifest.json").read_text("utf-8"))["finetuning"]["minutes"],
        "repositories": {},
    }
    for repository in known.repositories:
        rows = {}
        for start, (base, minutes) in starts.items():
            arguments = ["--minutes", f"{minutes:g}", "--positions", "0"]
            output = build(repository, f"{repository.name}-{start.replace(' ', '-')}", base, arguments)
            figures = measure_folder(
                start,
                output / "model",
                open_dataset(str(repository)),
                QualitySettings(excerpts=1, middles=known.middles),
            )
            rows[start] = facts_of(read_report(output)) | {
                key: figures[key] for key in ("middle_nats", "middle_bytes", "middle_files", "middle_exact")
            }
        reported["repositories"][repository.name] = rows
        reported["shared against dense"] = against(list(reported["repositories"].values()))
        write_result("shared-start", reported)
        print(json.dumps(reported["shared against dense"]), flush=True)


def facts_of(report: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a build's report."""
    return {key: report[key] for key in ("stages", "finetuning", "parity", "plan", "peak_rss_bytes")}


def against(repositories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Points of exact lines and percent of bits by which the shared start leads, with 95 % intervals.

    They are by files where the documents name these.
    """
    pairs = [(one["shared start"], one["dense start"]) for one in repositories]
    nats, exact = (
        [list(zip(ours[key], other[key], strict=True)) for ours, other in pairs]
        for key in ("middle_nats", "middle_exact")
    )
    files = [ours["middle_files"] for ours, _ in pairs if "middle_files" in ours]  # older documents have none
    files = files if len(files) == len(pairs) else []
    clustered = map(by_cluster, files or [range(len(group)) for group in exact], exact)
    return {
        "lines": sum(map(len, exact)),
        "exact": {
            name: sum(pair[side] for group in exact for pair in group)
            for side, name in enumerate(("shared start", "dense start"))
        },
        "exact_points": lead(list(clustered)).to_json(),
        "bits_percent": saving(nats, files).to_json(),
    }


if __name__ == "__main__":
    run_program(main)
