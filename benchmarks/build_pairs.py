"""Builds of `benchmarks.build_seeds` beside others that were asked the same lines, as a Markdown table.

    python -m benchmarks.build_pairs gson-v22:gson-v20 hono-v22:hono-v20

Each pair names two files benchmarks/results/build-seeds-NAME.json; of each the first build counts. Differences are the
first one's less the second one's, in points of lines right and in percent of the second one's bits. Intervals go by how
files or commits differ within a repository (`benchmarks.clusters`). They leave out how far two builds of one kind
differ, which `benchmarks.build_seeds` measures.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from operator import sub
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.clusters import clustered_mean, clusters_of
from benchmarks.markdown import print_head, print_row
from benchmarks.positions_table import KINDS, read
from builder.evaluation.wording import difference
from contract.documents import Estimate

Build = Mapping[str, Any]
Pair = tuple[Build, Build]


def main(names: Sequence[str]) -> None:
    """Print a row for each pair and kind of line, and rows of all pairs."""
    if not names:
        raise SystemExit("Name pairs of files, such as gson-v22:gson-v20.")
    pairs = {name: pair_of(name) for name in names}
    print_head("first:second", "seconds", "lines", "right", "difference in points (95 %)", "bits, difference (95 %)")
    for kind in KINDS:
        for name, some in [*((name, [pair]) for name, pair in pairs.items()), ("all", list(pairs.values()))]:
            print_row(f"{name}, {KINDS[kind]}", *figures(some, kind))


def pair_of(name: str) -> Pair:
    """Return the builds of two files; stop if they were asked different lines."""
    first, second = (read(RESULTS / f"build-seeds-{one}.json")["builds"][0] for one in name.split(":"))
    for kind in KINDS:
        if first["kinds"][kind]["lines_sha256"] != second["kinds"][kind]["lines_sha256"]:
            raise SystemExit(f"The builds of {name} were asked different lines ({kind}).")
    return first, second


def figures(pairs: Sequence[Pair], kind: str) -> list[str]:
    """Return the cells of a row: seconds, lines, how many are right, and both differences."""
    asked = [tuple(build["kinds"][kind] for build in pair) for pair in pairs]
    lines = sum(len(first["exact"]) for first, _ in asked)
    right = [sum(pair[side]["exact"].count("1") for pair in asked) for side in (0, 1)]
    bits = sum(sum(second["bits"]) for _, second in asked) / lines
    points = paired(asked, lambda one: [100.0 * (bit == "1") for bit in one["exact"]])
    percent = paired(asked, lambda one: [100 * each / bits for each in one["bits"]])
    seconds = ", ".join(f"{pairs[0][side]['seconds']:.0f}" for side in (0, 1)) if len(pairs) == 1 else ""
    shares = ", ".join(f"{100 * count / lines:.1f}" for count in right)
    return [seconds, str(lines), f"{shares} %", difference(points), difference(percent, unit=" %")]


def paired(asked: Sequence[Sequence[Build]], values: Any) -> Estimate:
    """Return the mean over lines of the first build's value less the second's. values: of each line of a build."""
    groups = [clusters_of(first["clusters"], map(sub, values(first), values(second))) for first, second in asked]
    return clustered_mean(groups).to_json()


if __name__ == "__main__":
    main(sys.argv[1:])
