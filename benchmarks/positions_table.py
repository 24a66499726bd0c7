"""What `benchmarks.beside_llama_cpp_positions` has written to benchmarks/results, as Markdown tables.

python -m benchmarks.positions_table

Differences are paired. The interval over all repositories resamples the positions of each one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.builds import RESULTS
from benchmarks.markdown import print_head, print_row
from laboratory.bench.bench_run import FIRST_ANSWER

OURS = ("submodel", FIRST_ANSWER)
KINDS = {"held-out": "held-out lines", "later": "lines added later"}
ROUNDS = 5_000


def main() -> None:
    """Print lines right by kind and repository, then the times of a cold place."""
    paths = sorted(RESULTS.glob("positions-*.json"))
    if not paths:
        raise SystemExit(
            f"{RESULTS} has no positions-*.json; run `python -m benchmarks.beside_llama_cpp_positions` first."
        )
    documents = {path.stem.removeprefix("positions-"): json.loads(path.read_text("utf-8")) for path in paths}
    for kind, heading in KINDS.items():
        for ours in OURS:
            _print_lines(heading, ours, {name: one["kinds"].get(kind, {}) for name, one in documents.items()})
    _print_times(documents)


def _print_lines(heading: str, ours: str, measured: Mapping[str, Mapping[str, Any]]) -> None:
    pairs = {name: _pairs(one["exact"], ours) for name, one in measured.items() if ours in one.get("exact", {})}
    if not pairs:
        return
    print_head(heading, "lines", ours, "llama.cpp Q8_0", "difference in points (95 %)")
    for name, own in [*pairs.items(), ("all", None)]:
        groups = list(pairs.values()) if own is None else [own]
        lines = [pair for group in groups for pair in group]
        low, high = interval(groups)
        shares = [100 * sum(pair[side] for pair in lines) / len(lines) for side in (0, 1)]
        print_row(
            name,
            str(len(lines)),
            *(f"{share:.1f} %" for share in shares),
            f"{shares[0] - shares[1]:+.1f} ({low:+.1f} to {high:+.1f})",
        )
    print()


def _pairs(exact: Mapping[str, str], ours: str) -> list[tuple[int, int]]:
    [peer] = [name for name in exact if name not in OURS]
    return [(int(own), int(other)) for own, other in zip(exact[ours], exact[peer], strict=True)]


def interval(groups: Sequence[Sequence[tuple[int, int]]], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the difference in points, resampled within each group."""
    rng = random.Random(seed)
    differences = [[own - other for own, other in group] for group in groups]
    count = sum(map(len, differences))
    drawn = sorted(
        100 * sum(sum(rng.choices(group, k=len(group))) for group in differences) / count for _ in range(ROUNDS)
    )
    return drawn[int(0.025 * ROUNDS)], drawn[int(0.975 * ROUNDS) - 1]


def _print_times(documents: Mapping[str, Mapping[str, Any]]) -> None:
    print_head("a cold place", "engine", "median", "95th percentile", "memory")
    for name, document in documents.items():
        for kind, heading in KINDS.items():
            for engine in document["kinds"].get(kind, {}).get("engines", ()):
                seconds = [f"{engine[f'new_place_ms_p{share}'] / 1000:.2f} s" for share in (50, 95)]
                print_row(f"{name}, {heading}", engine["name"], *seconds, f"{engine['resident_bytes'] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
