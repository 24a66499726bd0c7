"""What `benchmarks.following_commits` has written, as Markdown tables, and all repositories together.

python -m benchmarks.following_table
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.following_commits import ARMS, GOAL, UNITS, gains
from benchmarks.markdown import print_head, print_row
from builder.evaluation.wording import difference

SCALES = {"lines right": 100.0, "bits a line": 1.0}  # points; bits
TOGETHER = "all together"
REPOSITORIES = "all together, by repository"  # its three points share the model that was never updated


def main() -> None:
    """Print the lines right at each point, then what updates and builds gain, by repository and pooled."""
    paths = sorted(RESULTS.glob("following-*.json"))
    if not paths:
        raise SystemExit(f"{RESULTS} has no following-*.json; run `python -m benchmarks.following_commits` first.")
    histories = {
        path.stem.removeprefix("following-"): json.loads(path.read_text("utf-8"))["points"][1:] for path in paths
    }
    print_head("repository", "commits back", *ARMS)
    for name, points in histories.items():
        for point in points:
            right = [f"{100 * point['models'][arm]['exact_match']:.1f} %" for arm in ARMS]
            print_row(name, str(point["back"]), *right)
    for unit, scale in SCALES.items():
        print()
        print_head(f"gain in {unit}", "lines", "update", "build", f"update less {GOAL:g} of the build's")
        for name, points in histories.items():
            _print_gains(name, points, unit, scale)
        if len(histories) > 1:
            _print_gains(TOGETHER, [point for points in histories.values() for point in points], unit, scale)
            _print_gains(REPOSITORIES, [by_repository(histories)], unit, scale)


def by_repository(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return all points as one, whose clusters are the repositories."""
    points = [(number, point) for number, points in enumerate(histories.values()) for point in points]
    return {
        "positions": sum(point["positions"] for _, point in points),
        "clusters": [number for number, point in points for _ in range(point["positions"])],
        "models": {
            arm: {
                "exact": "".join(point["models"][arm]["exact"] for _, point in points),
                "bits": [bits for _, point in points for bits in point["models"][arm]["bits"]],
            }
            for arm in ARMS
        },
    }


def _print_gains(name: str, points: Sequence[Mapping[str, Any]], unit: str, scale: float) -> None:
    gained = gains(points, UNITS[unit])
    if gained is None:
        return
    intervals = [gained[key] for key in ("update", "build", f"update_less_{GOAL:g}_of_build")]
    print_row(name, str(gained["positions"]), *(difference(one, scale=scale, places=2) for one in intervals))


if __name__ == "__main__":
    main()
