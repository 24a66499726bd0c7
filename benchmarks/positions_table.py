"""What `benchmarks.beside_llama_cpp_positions` and `benchmarks.middle_bits` have written, as Markdown tables.

python -m benchmarks.positions_table

Differences are paired. Intervals draw whole files (held-out lines) or commits (lines added later), since the lines of
one are alike; that over all repositories draws those of each one within itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from builder.evaluation.metrics import Interval, bootstrap, mean
from laboratory.bench.bench_run import FIRST_ANSWER

OURS = ("submodel", FIRST_ANSWER)
Cluster = list[tuple[int, int]]  # lines of a file or a commit: whether ours and the peer's are right
FILES = {"l": "of files that were learned", "h": "of held-out files", "n": "of files that are new since"}
KINDS = {"held-out": "held-out lines", "later": "lines added later"}


def main() -> None:
    """Print lines right by kind and repository, then the times of a cold place."""
    paths = sorted(RESULTS.glob("positions-*.json"))
    if not paths:
        raise SystemExit(
            f"{RESULTS} has no positions-*.json; run `python -m benchmarks.beside_llama_cpp_positions` first."
        )
    documents = {path.stem.removeprefix("positions-"): read(path) for path in paths}
    for kind, heading in KINDS.items():
        for ours in OURS:
            _print_lines(heading, ours, {name: one["kinds"].get(kind, {}) for name, one in documents.items()})
    _print_times(documents)
    _print_bits({path.stem.removeprefix("middle-bits-"): read(path) for path in RESULTS.glob("middle-bits-*.json")})


def read(path: Path) -> dict[str, Any]:
    """A result of ours."""
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def _print_lines(heading: str, ours: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    found = {name: one for name, one in measured.items() if ours in one.get("exact", {})}
    if not found:
        return
    print_head(heading, "lines", ours, "llama.cpp Q8_0", "difference in points (95 %)")
    for name, own in found.items():
        _print_lead(name, [_clusters(own, ours)])
    _print_lead("all", [_clusters(one, ours) for one in found.values()])
    for letter, files in FILES.items():
        if all(letter in one["files"] for one in found.values()) and heading == KINDS["later"]:
            _print_lead(f"all, {files}", [_clusters(one, ours, letter) for one in found.values()])
    print()


def _print_lead(name: str, groups: Sequence[Sequence[Cluster]]) -> None:
    lines = [pair for group in groups for cluster in group for pair in cluster]
    drawn = lead(groups)
    shares = [100 * sum(pair[side] for pair in lines) / len(lines) for side in (0, 1)]
    print_row(
        name,
        str(len(lines)),
        *(f"{share:.1f} %" for share in shares),
        f"{drawn.value:+.1f} ({drawn.low:+.1f} to {drawn.high:+.1f})",
    )


def _clusters(measured: Mapping[str, Any], ours: str, letter: str = "") -> list[Cluster]:
    """Return the pairs of a repository by file or commit; `letter`: of files that the build treated so alone."""
    exact = measured["exact"]
    [peer] = [name for name in exact if name not in OURS]
    clusters: dict[int, Cluster] = {}
    rows = zip(exact[ours], exact[peer], measured["clusters"], measured["files"], strict=True)
    for own, other, number, file in rows:
        if not letter or file == letter:
            clusters.setdefault(number, []).append((int(own), int(other)))
    return list(clusters.values())


def lead(groups: Sequence[Sequence[Cluster]]) -> Interval:
    """Points by which the first of each pair (right or not, ours and the peer's) leads; a group is a repository."""
    clusters = [cluster for group in groups for cluster in group]

    def points(indices: Sequence[int]) -> float:
        return mean([100.0 * (own - peer) for index in indices for own, peer in clusters[index]])

    return bootstrap(points, len(clusters), groups=list(map(len, groups)))


def saving(groups: Sequence[Sequence[tuple[float, float]]]) -> Interval:
    """Percent of bits that the first of each pair (ours, the base's) needs more; a group is a repository."""
    nats = [pair for group in groups for pair in group]

    def percent(indices: Sequence[int]) -> float:
        return 100 * (sum(nats[i][0] for i in indices) / sum(nats[i][1] for i in indices) - 1)

    return bootstrap(percent, len(nats), groups=list(map(len, groups)))


def _print_times(documents: Mapping[str, Mapping[str, Any]]) -> None:
    print_head("a cold place", "engine", "median", "95th percentile", "memory")
    for name, document in documents.items():
        for kind, heading in KINDS.items():
            for engine in document["kinds"].get(kind, {}).get("engines", ()):
                seconds = [f"{engine[f'new_place_ms_p{share}'] / 1000:.2f} s" for share in (50, 95)]
                print_row(f"{name}, {heading}", engine["name"], *seconds, f"{engine['resident_bytes'] / 1e6:.0f} MB")
    print()


def _print_bits(documents: Mapping[str, Mapping[str, Any]]) -> None:
    print_head("bits of missing middles", "middles", "sub-model against its base (95 %)")
    groups = {
        name: list(zip(one["middle_nats"]["sub-model"], one["middle_nats"]["base"], strict=True))
        for name, one in sorted(documents.items())
    }
    for name, own in [*groups.items(), ("all", None)]:
        chosen = list(groups.values()) if own is None else [own]
        drawn = saving(chosen)
        row = f"{drawn.value:+.1f} % ({drawn.low:+.1f} to {drawn.high:+.1f})"
        print_row(name, str(sum(map(len, chosen))), row)


if __name__ == "__main__":
    main()
