"""`submodel-fleet build` of real repositories on a cluster that loses a worker, then its head, and undisturbed.

    python -m benchmarks.fleet_disturbed --small REPOSITORY... --default REPOSITORY...

Repositories of --small are built from SmolLM2-135M, those of --default from the default base. Two Ray nodes of one core
each on this machine. Once a few models are built, SIGKILL ends all processes of the second node, and another one joins
later. Once half of the models are built, SIGKILL ends the head, and a head at the same address follows. The number of
fine-tuning steps is fixed, so that both runs can give the same models. Writes benchmarks/results/fleet-disturbed.json;
exits with 1 where a model's hash differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.builds import write_result
from benchmarks.measured_repositories import CACHE
from contract.children import python_module

FOLDER: Final = CACHE / "fleet"
SMALL: Final = "smollm2-135m"
PORT: Final = 6399
LATER_S: Final = 20.0  # until another worker joins, and until the head is started again


def main() -> None:
    """Both runs, and whether each model is the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=Path, nargs="+", required=True)
    parser.add_argument("--default", type=Path, nargs="*", default=[])
    parser.add_argument("--steps", type=int, default=10)
    known = parser.parse_args()
    shutil.rmtree(FOLDER / "disturbed", ignore_errors=True)  # the other run goes on where it was
    # Else a head asks for the token of whoever ran Ray here before, and nobody shows it.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_fleet_file(FOLDER / "fleet.toml", known.small, known.default, known.steps)
    cluster = TwoNodes()
    try:
        whole = run("undisturbed", cluster, lambda is_over: None)
        disturbed = run("disturbed", cluster, lambda is_over: disturb(cluster, is_over))
    finally:
        cluster.end()
    differing = [name for name, sha256 in whole["models"].items() if disturbed["models"].get(name) != sha256]
    document = {
        "command": "python -m benchmarks.fleet_disturbed --small "
        + " ".join(path.name for path in known.small)
        + " --default "
        + " ".join(path.name for path in known.default),
        "repositories": len(known.small) + len(known.default),
        "runs": {"undisturbed": whole, "disturbed": disturbed},
        "differing": differing,
    }
    write_result("fleet-disturbed", document, packages=("ray",))
    print(json.dumps(document, indent=2))
    sys.exit(bool(differing) or len(whole["models"]) < len(known.small) + len(known.default))


def write_fleet_file(path: Path, small: list[Path], default: list[Path], steps: int) -> None:
    """Two groups of repositories; a name for each by its group, since one may be in both."""
    entries = [
        f'  {{source = {json.dumps(str(one.absolute()))}, name = "{one.name}-{group}", build = {{base = "{base}"}}}},\n'
        for group, base, folders in (("default", "auto", default), ("small", SMALL, small))
        for one in folders
    ]
    path.write_text(
        f"repositories = [\n{''.join(entries)}]\n[build]\nsteps = {steps}\npositions = 0\n[task]\ncores = 1\n"
    )


class TwoNodes:
    """A Ray cluster of two nodes with a core each, both on this machine; the first one is its head."""

    address: Final = f"127.0.0.1:{PORT}"

    def __init__(self) -> None:
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._begin()

    def _begin(self) -> None:
        self._start("--head", f"--port={PORT}", "--include-dashboard=false")
        while not self._answers():
            time.sleep(0.5)
        self.add_worker()

    def add_worker(self) -> None:
        """Let a second node join."""
        self._start(f"--address={self.address}")

    def kill_worker(self) -> None:
        """SIGKILL all processes of the second node."""
        _kill(self._nodes.pop())

    def kill_and_restart(self) -> None:
        """SIGKILL both nodes, the head first; a new cluster has the same address."""
        self.end()
        time.sleep(LATER_S)
        self._begin()

    def end(self) -> None:
        """SIGKILL what runs of both nodes."""
        while self._nodes:
            _kill(self._nodes.pop(0))

    def _start(self, *options: str) -> None:
        command = [*python_module("ray.scripts.scripts"), "start", "--block", "--num-cpus=1", *options]
        with (FOLDER / f"node-{time.time_ns()}.log").open("wb") as log:
            self._nodes.append(subprocess.Popen([*command, "--object-store-memory=134217728"], stdout=log, stderr=log))

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", PORT)) == 0


def _kill(node: subprocess.Popen[bytes]) -> None:
    """SIGKILL a node's processes, the builds included."""
    whole = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
    for process in whole:
        with contextlib.suppress(psutil.Error):
            process.kill()
    node.wait()


def run(name: str, cluster: TwoNodes, disturb: Callable[[Callable[[], bool]], dict[str, Any] | None]) -> dict[str, Any]:
    """One run of the fleet as a process of its own, and what `disturb` did meanwhile."""
    output = FOLDER / name
    command = [*python_module("fleet"), "build", str(FOLDER / "fleet.toml"), "-o", str(output)]
    started = time.monotonic()
    with (FOLDER / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--ray", cluster.address], stdout=subprocess.DEVNULL, stderr=log, cwd=FOLDER
        )
        did = disturb(lambda: process.poll() is not None)
        process.wait()
    index = json.loads((output / "fleet.json").read_text("utf-8"))
    rows = {row["name"]: row for row in index["repositories"]}
    return {
        "seconds": round(time.monotonic() - started, 1),
        "counts": index["counts"],
        "failed": {name: row.get("reason") for name, row in rows.items() if row["state"] == "failed"},
        "models": {name: row["result"]["bundle"]["files_sha256"] for name, row in rows.items() if "result" in row},
        "disturbed": did,
    }


def disturb(cluster: TwoNodes, is_over: Callable[[], bool]) -> dict[str, Any]:
    """Kill a worker after a fifth of the models, within a fine-tuning, and the head after half of them."""
    output = FOLDER / "disturbed"
    models = (FOLDER / "fleet.toml").read_text().count("source = ")
    did: dict[str, Any] = {}
    for what, share, act in (("worker", 0.2, _lose_worker), ("head", 0.5, TwoNodes.kill_and_restart)):
        while _built(output) < share * models or not _is_tuning(output):
            if is_over():
                raise RuntimeError(f"The run ended before the {what} could be killed.")
            time.sleep(0.2)
        did[what] = {"models_before": _built(output), "at_work": _at_work(output)}
        act(cluster)
    return did


def _lose_worker(cluster: TwoNodes) -> None:
    cluster.kill_worker()
    time.sleep(LATER_S)
    cluster.add_worker()


def _built(output: Path) -> int:
    return len(list(output.glob("*/result.json")))


def _at_work(output: Path) -> list[str]:
    """The builds that have begun and not ended."""
    return sorted(path.parent.name for path in output.glob(".work/*/log.jsonl"))


def _is_tuning(output: Path) -> bool:
    return any(output.glob(".work/*/build/pruned/manifest.json"))


if __name__ == "__main__":
    main()
