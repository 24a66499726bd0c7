"""A build that is killed at a random moment of fine-tuning and run again ends in the same place as one that is not.

    python -m benchmarks.robustness.kill_and_resume

The budget is longer than the passes over a small repository take, so that the number of steps does not depend on the
machine's speed. Writes benchmarks/results/kill-and-resume.json; exits with 1 where the two models differ.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.measured_repositories import CACHE
from contract.children import python_module
from submodel.build.paths import BuildPaths

ROOT = Path(__file__).parents[2]
PACKAGES = ("lsp_server/suggestion", "lsp_server/syntax")  # some 50 steps
KILLS = 2
OPTIONS = ("--base", "smollm2-135m", "--minutes", "60", "--positions", "0")


def main() -> None:
    """Build once without and once with kills, and compare."""
    folder = CACHE / "builds" / "kill-and-resume"
    shutil.rmtree(folder, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / "repository" / package, ignore=shutil.ignore_patterns("__pycache__"))
    whole, killed = folder / "whole", folder / "killed"
    _start(folder, whole).wait()
    steps = _finetuning(whole)["steps"]
    rng = random.Random(time.time_ns())
    moments = []
    for _ in range(KILLS):
        process = _start(folder, killed)
        _wait_for_state(BuildPaths(root=killed).finetuning_state, process)
        moment = rng.uniform(0, 45)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        moments.append(round(moment, 1))
    _start(folder, killed).wait()
    is_same = _weights(whole) == _weights(killed)
    document: dict[str, Any] = {
        "command": "python -m benchmarks.robustness.kill_and_resume",
        "steps": steps,
        "killed_s_after_the_first_state": moments,
        "sha256": {"whole": _weights(whole), "killed": _weights(killed)},
        "validation_loss": {name: _finetuning(each)["validation_loss"] for name, each in
                            (("whole", whole), ("killed", killed))},
        "is_same": is_same,
    }  # fmt: skip
    write_result("kill-and-resume", document)
    print(json.dumps(document, indent=2))
    sys.exit(not is_same)


def _start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [*python_module("submodel"), "build", str(folder / "repository"), "-o", str(output), *OPTIONS]
    return subprocess.Popen(command)


def _wait_for_state(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until this process has written its first state."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    while not path.exists() or path.stat().st_mtime_ns == before:
        if process.poll() is not None:
            raise RuntimeError("The build ended before it could be killed.")
        time.sleep(0.2)


def _finetuning(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "model" / "manifest.json").read_text("utf-8"))["finetuning"])


def _weights(output: Path) -> str:
    return hashlib.sha256((output / "model" / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
