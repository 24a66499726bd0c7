"""The sweep of docs/paper.md over a Ray cluster that loses a worker midway, against the same sweep by local processes.

    python -m benchmarks.lost_worker --base smollm2-135m

Two nodes of one core each on this machine. Once a third of the points is measured, all processes of one node are killed
at a random moment while it measures one, and a new node joins later. Needs submodel[fleet]; does `benchmarks.paper
sensitivity` first where it is not done. Writes benchmarks/results/lost-worker-NAME.json; exits with 1 where a figure
differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from benchmarks.builds import write_result
from benchmarks.measured_repositories import CACHE
from benchmarks.paper import sensitivity

LATER_S = 30.0  # until another node joins
THREADS = ("--threads", "1")


def main() -> None:
    """Both sweeps, and whether each figure is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    base = parser.parse_args().base
    here, there = CACHE / "paper" / base / "sensitivity", CACHE / "paper" / base / "lost-worker"
    shutil.rmtree(there, ignore_errors=True)
    for folder in (here, there):
        folder.mkdir(parents=True, exist_ok=True)
    by_processes = _figures(sensitivity(base, here, ["--jobs", "2", *THREADS]))
    # The number format is measured where a sweep begins, and decides the figures.
    shutil.copyfile(here / "dtype.json", there / "dtype.json")
    if any(row["threads"] != 1 for row in by_processes):
        sys.exit(f"Points of {here} were measured with more than one thread each; remove that folder and start again.")
    swept, loss = _sweep_and_kill(base, there, len(by_processes))
    by_cluster = _figures(swept)
    differing = [one for one, other in zip(by_processes, by_cluster, strict=False) if one != other]
    document: dict[str, Any] = {
        "command": f"python -m benchmarks.lost_worker --base {base}",
        "points": {"by_processes": len(by_processes), "by_cluster": len(by_cluster)},
        "failed": swept["failed"],
        "loss": loss,
        "differing": differing,
    }
    write_result(f"lost-worker-{base}", document, packages=("ray",))
    print(json.dumps(document, indent=2))
    sys.exit(by_processes != by_cluster or not loss["points_on_the_killed_node"])


def _sweep_and_kill(base: str, folder: Path, points: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sweep over a cluster of its own; what the killed node was at, and how many nodes there were."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with ThreadPoolExecutor(1) as pool:
            sweep = pool.submit(sensitivity, base, folder, ["--ray", cluster.address, *THREADS])
            _wait_for(lambda: _count(folder) >= points // 3, sweep)
            time.sleep(random.Random(time.time_ns()).uniform(5, 40))
            _wait_for(lambda: bool(_points_at_work(doomed)), sweep)
            at_work, alive = _points_at_work(doomed), [_alive(ray)]
            cluster.remove_node(doomed, allow_graceful=False)
            measured = _count(folder)
            _wait_for(lambda: _alive(ray) < alive[0], sweep)
            alive.append(_alive(ray))
            time.sleep(LATER_S)
            cluster.add_node(num_cpus=1)
            alive.append(_alive(ray))
            document = sweep.result()
    finally:
        ray.shutdown()
        cluster.shutdown()
    loss = {
        "killed_after_points": measured,
        "points_on_the_killed_node": at_work,
        "nodes_before_after_and_later": alive,
    }
    return document, loss


def _wait_for(is_so: Callable[[], bool], sweep: Future[dict[str, Any]]) -> None:
    while not is_so():
        if sweep.done():
            raise RuntimeError("The sweep ended before a worker could be killed.") from sweep.exception()
        time.sleep(0.2)


def _points_at_work(node: Any) -> int:
    """How many points processes of a node are measuring, by the names that Ray gives them."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return sum(_title(process).startswith("ray::measure_point") for process in raylet.children(recursive=True))


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""  # it has just ended


def _alive(ray: Any) -> int:
    return sum(node["Alive"] for node in ray.nodes())


def _count(folder: Path) -> int:
    return len(list((folder / "points").glob("*.json")))


def _figures(document: dict[str, Any]) -> list[dict[str, Any]]:
    """All of each point but its times."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in document["points"]]


if __name__ == "__main__":
    main()
