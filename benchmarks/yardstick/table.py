"""What yardsticks have written, as Markdown tables.

    python -m benchmarks.yardstick.table [FILE ...] [--each]

FILE is each benchmarks/results/yardstick-*.json if none is named. Whether an answer is right is counted again from its
text. A share has two 95 % intervals by Student's t: over files (held-out lines) or commits (later ones) within the
repositories, since the lines of one are alike, and over repositories, since a reader's own is another one. Differences
are those of the first rival less another one, over the positions that both were asked, in points. New text stands
nowhere in the files that the build learned. --each adds a row for each repository.

Results of the program before this one (`positions-*.json`, one repository each) are read, too. They have no texts, so
that right and wrong are taken from them as they are.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from benchmarks.yardstick.answers import is_right
from benchmarks.yardstick.asked_positions import HELD_OUT, LATER
from benchmarks.yardstick.clusters import Cluster, by_cluster, clustered_mean
from builder.evaluation.metrics import Interval
from builder.evaluation.wording import difference


@dataclass(frozen=True, kw_only=True)
class Line:
    """One position, and what each rival answered there."""

    repository: str
    kind: str
    cluster: str
    is_new: bool | None  # None: not known
    right: dict[str, bool]
    shown: dict[str, bool]
    milliseconds: dict[str, float]


Value = Callable[[Line], float]


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--each", action="store_true", help="a row for each repository, too")
    arguments = parser.parse_args()
    paths = arguments.files or sorted(RESULTS.glob("yardstick-*.json"))
    if not paths:
        raise SystemExit(f"{RESULTS} has no yardstick-*.json; run `python -m benchmarks.yardstick PLAN.json` first.")
    lines = [line for path in paths for line in read_lines(path)]
    for title, kind, is_new in (
        ("held-out lines, new text", HELD_OUT, True),
        ("later lines, new text", LATER, True),
        ("held-out lines", HELD_OUT, None),
        ("later lines", LATER, None),
    ):
        chosen = [one for one in lines if one.kind == kind and (is_new is None or one.is_new)]
        if chosen:
            print_right(title, chosen, with_each=arguments.each)
            print_shown(title, chosen)


def read_lines(path: Path) -> list[Line]:
    """Return the positions of a result with their answers."""
    document = json.loads(path.read_text("utf-8"))
    if "positions" not in document:
        return [line for kind in (HELD_OUT, LATER) for line in _earlier_lines(path, kind, document["kinds"][kind])]
    lines = {
        (one["repository"], one["kind"], one["position"]): (
            one["truth"],
            Line(
                **{key: one[key] for key in ("repository", "kind", "cluster", "is_new")},
                right={},
                shown={},
                milliseconds={},
            ),
        )
        for one in document["positions"]
    }
    for row in document["answers"]:
        truth, line = lines[row["repository"], row["kind"], row["position"]]
        line.right[row["rival"]] = is_right(row["text"], truth)
        line.shown[row["rival"]] = bool(row["text"].strip())
        line.milliseconds[row["rival"]] = row["milliseconds"]
    return [line for _, line in lines.values()]


def _earlier_lines(path: Path, kind: str, figures: dict[str, Any]) -> Iterable[Line]:
    """Return the lines of one kind of a result of the program before."""
    for number, cluster in enumerate(figures["clusters"]):
        right = {rival: bits[number] == "1" for rival, bits in figures["exact"].items()}
        yield Line(
            repository=path.stem.removeprefix("positions-"),
            kind=kind,
            cluster=str(cluster),
            is_new=None,
            right=right,
            shown={},
            milliseconds={},
        )


def rivals_in(lines: Iterable[Line]) -> list[str]:
    """Return the rivals in the order in which they were asked."""
    return list(dict.fromkeys(rival for line in lines for rival in line.right))


def mean(lines: Sequence[Line], value: Value) -> Interval:
    """Return the mean over all lines; the interval is over files or commits, within each repository."""
    groups = [
        [Cluster(sum(map(value, some)), len(some)) for some in by_cluster((one.cluster for one in each), each)]
        for each in _by_repository(lines)
    ]
    return clustered_mean(groups)


def mean_of_repositories(lines: Sequence[Line], value: Value) -> Interval:
    """Return the mean over all lines; the interval is over repositories."""
    return clustered_mean([[Cluster(sum(map(value, each)), len(each)) for each in _by_repository(lines)]])


def print_right(title: str, lines: Sequence[Line], *, with_each: bool) -> None:
    """Print which share each rival has right, and how far the first one leads."""
    first, *others = rivals_in(lines)
    print_head(title, "lines", "right (95 %: files, commits)", "(repositories)", "first less this", "(repositories)")
    for rival in (first, *others):
        asked = [one for one in lines if rival in one.right]
        groups = [("", asked), *((f" {one[0].repository}", one) for one in _by_repository(asked) if with_each)]
        for name, some in groups:
            both = [] if rival == first else [one for one in some if first in one.right]

            def right(line: Line, rival: str = rival) -> float:
                return 100.0 * line.right[rival]

            def lead(line: Line, rival: str = rival) -> float:
                return 100.0 * (line.right[first] - line.right[rival])

            leads = [_signed(each(both, lead)) if both else "" for each in (mean, mean_of_repositories)]
            shares = [_share(each(some, right)) for each in (mean, mean_of_repositories)]
            print_row(rival + name, str(len(some)), *shares, *leads)
    print()


def print_shown(title: str, lines: Sequence[Line]) -> None:
    """Print what each rival shows, and how long it takes; nothing for rivals whose texts were not kept."""
    rows = [(rival, [one for one in lines if rival in one.shown]) for rival in rivals_in(lines)]
    if not any(asked for _, asked in rows):
        return
    print_head(title, "shown", "right", "wrong", "silent", "wrong of those shown", "median", "95th percentile")
    for rival, asked in rows:
        shown = [one for one in asked if one.shown[rival]]
        right = sum(one.right[rival] for one in shown)
        shares = (len(shown), right, len(shown) - right, len(asked) - len(shown))
        wrong = mean(shown, lambda line, rival=rival: 100.0 * (not line.right[rival])) if shown else None  # type: ignore[misc]
        times = np.percentile([one.milliseconds[rival] for one in asked], (50, 95))
        cells = [*(f"{100 * share / len(asked):.1f} %" for share in shares), "" if wrong is None else _share(wrong)]
        print_row(rival, *cells, *(f"{time:,.0f} ms" for time in times))
    print()


def _by_repository(lines: Iterable[Line]) -> list[list[Line]]:
    lines = list(lines)
    return by_cluster((one.repository for one in lines), lines)


def _share(share: Interval) -> str:
    if math.isinf(share.high):  # of one repository
        return f"{share.value:.1f} %"
    low, high = max(0.0, share.low), min(100.0, share.high)
    return f"{share.value:.1f} % ({low:.1f} to {high:.1f})"


def _signed(lead: Interval) -> str:
    return f"{lead.value:+.1f}" if math.isinf(lead.high) else difference(lead.to_json())


if __name__ == "__main__":
    main()
