"""What `benchmarks.build_quality` has written to benchmarks/results, as one Markdown table.

python -m benchmarks.results_table
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from builder.evaluation.wording import points

HEADINGS = ("repository", "", "parameters", "bits per byte", "exact match", "against the base", "edit similarity")


def main() -> None:
    """Print it."""
    paths = sorted(RESULTS.glob("build-*.json"))
    if not paths:
        raise SystemExit(f"{RESULTS} has no build-*.json; run `python -m benchmarks.build_quality` first.")
    print_head(*HEADINGS)
    for path in paths:
        for cells in _rows(json.loads(path.read_text("utf-8"))["build"]):
            print_row(*cells)
    print()
    for path in paths:
        print(f"- {_costs(json.loads(path.read_text('utf-8'))['build'])}")


def _rows(build: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    first = f"{_repository(build)}, {build['base']['name']}"
    for model in build["models"]:
        low, high = model["fim_exact_match_interval"]
        difference = build["against_base"].get(model["name"], {}).get("exact_match_difference")
        yield (
            first,
            model["name"],
            f"{model['parameters'] / 1e6:.0f} M, {model['bytes'] / 1e6:.0f} MB",
            f"{model['bits_per_byte']:.3f}",
            f"{model['fim_exact_match']:.1%} ({low:.0%}–{high:.0%})",
            points(difference) if difference else "",
            f"{model['fim_edit_similarity']:.3f}",
        )
        first = ""


def _costs(build: Mapping[str, Any]) -> str:
    """What `submodel build` takes, and how faithful the bundle is."""
    stages = {stage["name"]: stage["seconds"] for stage in build["stages"]}
    each = ", ".join(f"{name} {seconds:.0f}" for name, seconds in stages.items())
    parity = build["parity"]
    return "; ".join(
        (
            f"{_repository(build)}, {build['base']['name']}: {sum(stages.values()):.0f} s ({each})",
            f"size {build['plan']['share_of_base']:.1%}",
            f"peak memory {build['peak_rss_bytes'] / 2**30:.1f} GiB",
            f"bundle against fp32: {parity['greedy_agreement']:.1%} of {parity['greedy_tokens']} greedy tokens",
            f"loss {parity['loss_increase']:+.2%}",
        )
    )


def _repository(build: Mapping[str, Any]) -> str:
    return str(build["repository"]).partition(" ")[2]


if __name__ == "__main__":
    main()
