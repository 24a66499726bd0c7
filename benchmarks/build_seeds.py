"""How far builds of one commit differ from each other: the same default build, with another seed each time.

    python -m benchmarks.build_seeds CLONE --name httpx --base qwen2.5-coder-0.5b [--back 150] [--seeds 5] [--count 150]

CLONE has its whole history. A sub-model is built --back commits before its HEAD with each of the seeds 0, 1, 2 and so
on. Each is asked for lines of the files that the builds held out, which are the same for every seed, and for lines that
the commits since have added, each position cold. The spread is the standard deviation over the builds, of the share of
lines that are right and of the bits that the rest of a line takes. Intervals that we print elsewhere are over lines,
and leave it out. Other options are those of `submodel build`. Builds and answers are kept in the cache: run again, it
goes on, as `benchmarks.following_commits` does. Writes benchmarks/results/build-seeds-NAME.json after each build.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import checkout, commit_at, mark_of, run_once, run_program, write_result
from benchmarks.clusters import cluster_numbers, student_t
from benchmarks.cold_answers import answers_of
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE
from benchmarks.single_positions import draw_positions
from laboratory.bench.workload import WorkloadSettings, hash_strokes
from submodel.build.paths import BuildPaths

KINDS = ("held-out", "later")


def main() -> None:
    """Build, ask, and say how far the builds so far differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--back", type=int, default=150, help="commits before HEAD, of the builds")
    parser.add_argument("--seeds", type=int, default=5, help="how many builds")
    parser.add_argument("--count", type=int, default=150, help="positions of each kind")
    arguments, build_options = parser.parse_known_args()
    room = CACHE / "build-seeds" / arguments.name
    commit, head = (commit_at(arguments.clone, back) for back in (arguments.back, 0))
    reported: dict[str, Any] = {
        "command": f"python -m benchmarks.build_seeds CLONE --name {arguments.name} --base {arguments.base} "
        f"--back {arguments.back} --seeds {arguments.seeds} --count {arguments.count} " + " ".join(build_options),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "commit": commit,
        "head": head,
        "builds": [],
    }
    later = checkout(arguments.clone, room / "later", head)
    for seed in range(arguments.seeds):
        folder = checkout(arguments.clone, room / f"seed-{seed}", commit)
        paths = BuildPaths(root=folder / ".submodel")
        words = ["build", ".", "--base", arguments.base, *build_options, "--seed", str(seed)]
        took = run_once(mark_of(folder, 0), words, folder, commit)
        shutil.rmtree(paths.pruned, ignore_errors=True)  # a gigabyte; what is asked is the bundle
        kinds = {}
        for kind in KINDS:
            repository, since = (later, commit) if kind == "later" else (folder, None)
            settings = WorkloadSettings(passages=arguments.count, lines=1, keys=1, since=since)
            strokes = draw_positions([paths.bundle], repository, settings)
            kinds[kind] = {
                "lines_sha256": hash_strokes(strokes),
                "clusters": cluster_numbers([stroke.cluster for stroke in strokes]),
                **answers_of(kind, 0, folder, strokes),
            }
        reported["builds"].append({"seed": seed, **took, "kinds": kinds})
        if seed:
            builds = [build["kinds"] for build in reported["builds"]]
            reported["spread"] = {kind: spread([build[kind] for build in builds]) for kind in KINDS}
        write_result(f"build-seeds-{arguments.name}", reported)
        print(seed, {kind: asked["exact_match"] for kind, asked in kinds.items()}, took["seconds"], flush=True)
    print(json.dumps(reported.get("spread"), indent=2))


def spread(builds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how far builds differ that were asked the same lines.

    Of each figure: its value in each build, their mean, their standard deviation, and how far two other builds differ
    at most in 95 of 100 cases (by Student's t). "lines" counts those that all builds have right, some, and none. Stops
    if the builds were asked different lines.
    """
    if len({build["lines_sha256"] for build in builds}) > 1:
        raise SystemExit("The builds were asked different lines; delete the folder of the run in the cache.")
    figures = {
        "lines right": [build["exact_match"] for build in builds],
        "bits a line": [statistics.fmean(build["bits"]) for build in builds],
    }
    right = [sum(line == "1" for line in lines) for lines in zip(*(build["exact"] for build in builds), strict=True)]
    freedom = len(builds) - 1
    described: dict[str, Any] = {}
    for name, values in figures.items():
        deviation = statistics.stdev(values)
        described[name] = {
            "values": values,
            "mean": statistics.fmean(values),
            "deviation": deviation,
            "two_builds_differ_by": student_t(freedom) * math.sqrt(2) * deviation,
        }
    every = sum(count == len(builds) for count in right)
    none = right.count(0)
    return described | {"lines": {"all": every, "some": len(right) - every - none, "none": none}}


if __name__ == "__main__":
    run_program(main)
