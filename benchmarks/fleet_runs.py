"""`submodel fleet` over many small repositories, and what it would take for a company's.

    python -m benchmarks.fleet_runs run --repositories 1000   # real builds on Ray, with a base of two random layers
    python -m benchmarks.fleet_runs paper                     # 1,000 and 100,000 repositories, from measured parts

`run` builds all, runs again, changes one repository, and runs a third time. It samples the driver's own memory each
second: if it keeps something of each build, the first run needs more than the second. It writes
benchmarks/results/fleet.json. `paper` writes fleet-on-paper.json and prints the table of docs/fleet.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final

import psutil

from benchmarks.builds import RESULTS, write_document, write_result
from benchmarks.markdown import print_head, print_row
from contract.children import python_module

FILES, FUNCTIONS = 16, 60  # of a repository: some 70 kB, more than the least that a build takes
# Default builds without scores on two cores.
MEASURED: Final = ("gson", "hono", "httpx")
FLEETS: Final = (1_000, 100_000)
NIGHT_S: Final = 8 * 3600
CHANGED: Final = 0.2  # of the repositories a day: assumed
DEVELOPERS: Final = 3  # that fetch a repository's bundle: assumed


def main() -> None:
    """Measure, or compute from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "paper"))
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--ray", default="local")
    arguments = parser.parse_args()
    if arguments.what == "paper":
        print_paper()
        return
    with tempfile.TemporaryDirectory(prefix="submodel-fleet-") as room:
        document = measure(Path(room), arguments.repositories, arguments.ray)
    head = {
        "command": f"python -m benchmarks.fleet_runs {' '.join(sys.argv[1:])}",
        "load_average_at_start": os.getloadavg(),
    }
    write_result("fleet", head | document, packages=("ray",))
    print(json.dumps(document, indent=2))


def measure(room: Path, count: int, ray: str) -> dict[str, Any]:
    """Three runs in the folder `room`: all are new, none has changed, one has."""
    from testbed.models import save_base

    base = save_base(room / "base", kind="qwen2")
    names = [f"repository-{number:06d}" for number in range(count)]
    for number, name in enumerate(names):
        write_repository(room / name, number)
    (room / "fleet.toml").write_text(
        f"repositories = {json.dumps(names)}\n"
        f'[build]\nbase = {json.dumps(str(base))}\nsize = 0.8\nminutes = 0\nquantize = "fp32"\npositions = 4\n'
        "[task]\ncores = 1\n"
    )
    runs = {"all_new": run_fleet(room, ray), "unchanged": run_fleet(room, ray)}
    write_repository(room / names[count // 2], count)
    runs["one_changed"] = run_fleet(room, ray)
    first = runs["all_new"]
    return {
        "repositories": count,
        "builds": "of a base of two random layers, without fine-tuning",
        "repositories_a_minute": round(60 * count / first["seconds"], 2),
        "runs": runs,
    }


def write_repository(folder: Path, seed: int) -> None:
    """A repository of Python functions that no other seed has."""
    rng = random.Random(seed)
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        lines = (
            f"def compute_{seed}_{number}_{i}(value):\n    return value + {rng.randrange(9999)}\n"
            for i in range(FUNCTIONS)
        )
        (folder / "src" / f"part_{number}.py").write_text("\n".join(lines))


def run_fleet(room: Path, ray: str) -> dict[str, Any]:
    """One run as a process of its own, with samples of its memory that leave its children out."""
    words = ["fleet", str(room / "fleet.toml"), "-o", str(room / "out"), "--ray", ray]
    samples: list[int] = []
    started = time.monotonic()
    with subprocess.Popen([*python_module("submodel"), *words], stdout=subprocess.DEVNULL) as process:
        driver = psutil.Process(process.pid)
        cpu_s = 0.0
        while process.poll() is None:
            try:
                samples.append(driver.memory_info().rss)
                times = driver.cpu_times()
                cpu_s = times.user + times.system
            except psutil.Error:
                break
            time.sleep(1)
    if process.returncode:
        sys.exit(f"submodel fleet ended with {process.returncode}; its last words are above.")
    index = json.loads((room / "out" / "fleet.json").read_text("utf-8"))
    return {
        "seconds": round(time.monotonic() - started, 1),
        "counts": index["counts"],
        "driver_cpu_s": round(cpu_s, 1),
        "driver_most_rss_bytes": max(samples, default=0),
    }


def print_paper() -> None:
    """What a company's repositories take, from measured builds; each changed one is built as if new."""
    builds = measured()
    document: dict[str, Any] = {
        "command": "python -m benchmarks.fleet_runs paper",
        "assumed": {"changed_a_day": CHANGED, "developers_a_repository": DEVELOPERS, "night_s": NIGHT_S},
        "builds": builds,
        "fleets": [_on_paper(count, builds) for count in FLEETS],
    }
    write_document("fleet-on-paper", document)
    rows = document["fleets"]
    print_head("", *(f"{row['repositories']:,}" for row in rows))
    for key, title in TITLES.items():
        print_row(title, *(f"{row[key]:,}" for row in rows))


def measured() -> dict[str, list[float]]:
    """Return seconds of the builds of `MEASURED`, and bytes of a bundle."""
    builds = [_read(f"build-seeds-{name}-v22")["builds"][0] for name in MEASURED]
    return {
        "seconds": [_seconds(one) for one in builds],
        "registry_bytes": [_read("pull")["bundle"]["bytes"]],
    }


def _seconds(build: Mapping[str, Any]) -> float:
    """Return the time of a build's stages, which have no scores here."""
    return round(math.fsum(stage["seconds"] for stage in build["stages"]), 1)


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return document


def _on_paper(count: int, measured: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    seconds, size = mean(measured["seconds"]), mean(measured["registry_bytes"])
    daily = count * CHANGED
    return {
        "repositories": count,
        "storage_tb": round(count * size / 1e12, 2),
        "core_hours_first": round(count * seconds * 2 / 3600),
        "core_hours_a_day": round(daily * seconds * 2 / 3600),
        "cores_for_a_night": round(daily * seconds * 2 / NIGHT_S),
        "written_a_day_tb": round(daily * size / 1e12, 2),
        "written_in_a_night_gbit_s": round(daily * size * 8 / NIGHT_S / 1e9, 2),
        "fetched_a_day_tb": round(daily * size * DEVELOPERS / 1e12, 2),
        "results_a_second": round(daily / NIGHT_S, 3),
    }


TITLES: Final = {
    "storage_tb": "storage of the registry, TB",
    "core_hours_first": "core-hours of the first build of all",
    "core_hours_a_day": "core-hours a day",
    "cores_for_a_night": "cores for a night of 8 hours",
    "written_a_day_tb": "written to storage a day, TB",
    "written_in_a_night_gbit_s": "of that in the night, Gbit/s",
    "fetched_a_day_tb": "fetched by developers a day, TB",
    "results_a_second": "results a second in the night",
}


if __name__ == "__main__":
    main()
