r"""What following a repository is worth: lines that the next commits add, asked of models that followed and did not.

    python -m benchmarks.following_commits CLONE --name hono --base qwen2.5-coder-0.5b [--at 300,200,100,50]

CLONE has its whole history; commits are counted back along the first parents of its HEAD. A sub-model is built at the
first of --at. At each of them three models are asked for the lines that the next --ahead commits add, each position
cold: "never" is the build of the first; "update" was updated at each point so far; "build" is a whole build of that
commit. Renewed drafts alone have no arm: they save time. Gains over never updating are pooled over the points
after the first, in lines right and in bits of the line, with intervals over commits (`benchmarks.clusters`), which
leave out the variance between training runs. The share of a build's gain has no interval, since a build may gain
nothing. We also report the update's gain minus 0.8 times the build's. Above zero, the update recovers four fifths.
Other options, such as --size, are those of `submodel build`. Clones, builds and answers are kept in the cache: run
again, it goes on, unless the commit, the words of a command or the program differ; so run it from a checkout that
nobody changes. Writes benchmarks/results/following-NAME.json after each point.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.builds import checkout, commit_at, mark_of, run_once, run_program, write_result
from benchmarks.clusters import cluster_numbers, clustered_mean, clusters_of
from benchmarks.cold_answers import answers_of
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE
from builder.evaluation.metrics import Interval
from contract.versions import PROGRAM
from laboratory.bench.workload import WorkloadSettings, make_workload
from submodel.build.history import read_history
from submodel.build.paths import BuildPaths

ARMS = ("never", "update", "build")
Read = Callable[[Mapping[str, Any]], list[float]]
UNITS: dict[str, Read] = {
    "lines right": lambda model: [float(bit) for bit in model["exact"]],
    "bits a line": lambda model: [-bits for bits in model["bits"]],
}
TIMES = ("seconds", "processor_s", "stages")
GOAL = 0.8  # of what a build gains
NOT_FOLLOWED = shutil.ignore_patterns("previous")


def main() -> None:
    """Build, follow, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--at", default="300,200,100,50", help="commits before HEAD, the first is built")
    parser.add_argument("--ahead", type=int, default=50, help="commits whose lines are asked")
    parser.add_argument("--count", type=int, default=150, help="positions a point")
    parser.add_argument("--update-minutes", type=float, default=2.0, help="of fine-tuning, of each update")
    parser.add_argument("--built", type=Path, help="a .submodel of the first commit, copied in place of building it")
    arguments, build_options = parser.parse_known_args()
    arguments.build_options = build_options
    points = points_of(arguments.at, arguments.ahead)
    room = CACHE / "following" / arguments.name
    reported: dict[str, Any] = {
        "command": f"python -m benchmarks.following_commits CLONE --name {arguments.name} --base {arguments.base} "
        f"--at {arguments.at} --ahead {arguments.ahead} --count {arguments.count} "
        + f"--update-minutes {arguments.update_minutes:g} "
        + "--built FOLDER " * bool(arguments.built)
        + " ".join(arguments.build_options),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "points": [],
    }
    for number, back in enumerate(points):
        commit, later = (commit_at(arguments.clone, max(back - ahead, 0)) for ahead in (0, arguments.ahead))
        folders: dict[str, Path] = {}
        runs: dict[str, dict[str, Any]] = {}
        for arm in ARMS if number else ("never",):
            folder = checkout(arguments.clone, room / (f"build-{back}" if arm == "build" else arm), commit)
            if number == 0 and arguments.built and not (folder / ".submodel").exists():
                shutil.copytree(arguments.built, folder / ".submodel", ignore=NOT_FOLLOWED)
                check_same_build(folder / ".submodel", commit)
            runs[arm] = dict(follow(arm, number, folder, room, commit, arguments))
            folders[arm] = folder
        typed = make_workload(
            checkout(arguments.clone, room / "later", later),
            WorkloadSettings(passages=arguments.count, lines=1, keys=1, since=commit),
        )
        strokes = typed.strokes
        point = {"back": back, "commit": commit, "positions": len(strokes), "runs": runs}
        point["clusters"] = cluster_numbers([stroke.cluster for stroke in strokes])
        models = {arm: answers_of(arm, number, folder, strokes) for arm, folder in folders.items()}
        reported["points"].append(point | {"models": models})
        reported["gains"] = {unit: gains(reported["points"], read) for unit, read in UNITS.items()}
        for part in ("model", "pruned"):  # 1.5 GB; what was asked is the bundle
            shutil.rmtree(room / f"build-{back}" / ".submodel" / part, ignore_errors=True)
        write_result(f"following-{arguments.name}", reported)
        print(
            json.dumps({arm: row["exact_match"] for arm, row in reported["points"][-1]["models"].items()}), flush=True
        )


def points_of(at: str, ahead: int) -> list[int]:
    """Return the points of --at; stop if they are so close that lines of one commit would be asked at two of them."""
    points = [int(text) for text in at.split(",")]
    if any(earlier - later < ahead for earlier, later in pairwise(points)):
        raise SystemExit(f"--at {at} has points less than --ahead {ahead} commits apart, or not the earliest first.")
    return points


def follow(
    arm: str, number: int, folder: Path, room: Path, commit: str, arguments: argparse.Namespace
) -> Iterator[tuple[str, object]]:
    """Bring the model of an arm to its point; what that took. What an earlier run of this script did is kept.

    The time of a build whose stages were copied with --built is not that of a build, and is left out.
    """
    mark = mark_of(folder, number)
    if arm == "never" and number:
        return
    words = ["build", ".", "--base", arguments.base, *arguments.build_options]
    if arm == "update":
        words = ["update", ".", "--minutes", f"{arguments.update_minutes:g}"]
    if not mark.exists() and arm == "update" and number == 1:
        shutil.copytree(room / "never" / ".submodel", folder / ".submodel", ignore=NOT_FOLLOWED, dirs_exist_ok=True)
    took = run_once(mark, words, folder, commit)
    yield from (item for item in took.items() if number or not arguments.built or item[0] not in TIMES)


def check_same_build(built: Path, commit: str) -> None:
    """Stop if --built is of another commit or version. Such a build would be made again."""
    history = read_history(BuildPaths(root=built).stages)
    if history is None or (history.program, history.commit) != (PROGRAM, commit):
        raise SystemExit(f"{built} is no build of {commit} by this account and this version; leave --built out.")


def gains(points: Sequence[Mapping[str, Any]], read: Read) -> dict[str, Any] | None:
    """Return what updates and builds gain over never updating, and the update's gain less GOAL of the build's.

    All are means over the positions of the points that have all arms. None if there is no such point. read: the figure
    of each position in a model's answers; more is better.
    """
    whole = [point for point in points if set(ARMS) <= point["models"].keys()]
    if not whole:
        return None

    def mean(update: float, build: float) -> Interval:
        """Return the mean of so many times the update's gain and so many times the build's."""
        groups = []
        for point in whole:
            never, updated, built = (read(point["models"][arm]) for arm in ARMS)
            gained = [
                update * (after - before) + build * (rebuilt - before)
                for before, after, rebuilt in zip(never, updated, built, strict=True)
            ]
            groups.append(clusters_of(point["clusters"], gained))
        return clustered_mean(groups)

    updated, built = mean(1, 0), mean(0, 1)
    return {
        "positions": sum(point["positions"] for point in whole),
        "update": updated.to_json(),
        "build": built.to_json(),
        f"update_less_{GOAL:g}_of_build": mean(1, -GOAL).to_json(),
        "share_of_build": updated.value / built.value if built.value > 0 else None,
    }


if __name__ == "__main__":
    run_program(main)
