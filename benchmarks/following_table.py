"""What following a repository is worth, as Markdown tables: lines asked, then keystrokes typed, and all together.

They are of what `benchmarks.following_commits` and `benchmarks.following_typed` have written.

python -m benchmarks.following_table
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.clusters import clustered_ratio
from benchmarks.following_commits import ARMS, GOAL, UNITS, gains
from benchmarks.markdown import print_head, print_row
from builder.evaluation.metrics import Interval
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
    _print_asked(histories)
    typed = sorted(RESULTS.glob("typed-following-*.json"))
    _print_typed({path.stem.removeprefix("typed-following-"): json.loads(path.read_text("utf-8")) for path in typed})


def _print_asked(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for unit, scale in SCALES.items():
        print()
        print_head(f"gain in {unit}", "lines", "update", "build", f"update less {GOAL:g} of the build's")
        for name, points in histories.items():
            _print_gains(name, points, unit, scale)
        if len(histories) > 1:
            _print_gains(TOGETHER, [point for points in histories.values() for point in points], unit, scale)
            _print_gains(REPOSITORIES, [by_repository(histories)], unit, scale)


def _print_typed(documents: Mapping[str, Mapping[str, Any]]) -> None:
    print()
    print_head("repository", "keystrokes", *(f"saved, {arm}" for arm in ARMS))
    for name, document in documents.items():
        alone, *keys = (sum(each) for each in _keys(document["typed"]))
        print_row(name, f"{alone:,}", *(f"{100 * (1 - taken / alone):.1f} %" for taken in keys))
    for name, weights in (("update", (1, 0)), ("build", (0, 1)), (f"update less {GOAL:g} of build", (1, -GOAL))):
        gain = typed_gain([document["typed"] for document in documents.values()], *weights)
        print_row(f"{name}, points more", "", "", difference(gain.to_json(), scale=100), "")


def typed_gain(kinds: Sequence[Mapping[str, Any]], update: float, build: float) -> Interval:
    """Return so many times what an update and a build save over never updating, as a share of the keystrokes."""
    groups = []
    for typed in kinds:
        alone, *keys = _keys(typed)
        fewer = [
            update * (never - updated) + build * (never - built) for never, updated, built in zip(*keys, strict=True)
        ]
        groups.append((typed["clusters"], fewer, alone))
    return clustered_ratio(groups)


def _keys(typed: Mapping[str, Any]) -> list[list[int]]:
    """Return the keystrokes of each passage, alone and with the model of each arm."""
    runs = [typed[arm]["runs"][-1]["each"] for arm in ARMS]
    return [runs[0]["keys_alone"], *(run["keys"] for run in runs)]


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
