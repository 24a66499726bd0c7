"""SIGKILL at random moments of a build: what is left is whole, and the next run ends as one that nobody killed.

    python -m benchmarks.robustness.kills --count 200

The build is a small one (`tiny_build`), killed again and again until one run gets through; so later stages
are hit as well as early ones. Half of the folders hold an older build of the same repository, whose bundle must stay
readable; every other half has `submodel export` killed, too. After each kill every folder must be absent or whole. It
doesn't kill recovery (`benchmarks.kill_and_resume` does), and a process that is killed is no power cut. Writes
benchmarks/results/kills.json; exits with 1 where a state was corrupt or a hash differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.robustness.tiny_build import check_state, command, hashes, make_inputs


def main() -> None:
    """Kill, look, go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as room:
        figures = _run(Path(room), arguments.count, rng)
    document = {
        "command": f"python -m benchmarks.robustness.kills {' '.join(sys.argv[1:])}",
        **figures,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    write_result("kills", document)
    print(json.dumps(figures, indent=2))
    sys.exit(bool(figures["corrupt"] or figures["not_completed"] or figures["hashes_differ"]))


def _run(room: Path, count: int, rng: random.Random) -> dict[str, Any]:
    repository, base = make_inputs(room)
    began = time.perf_counter()
    _finish(command(repository, base, room / "whole"))
    whole_s, wanted = time.perf_counter() - began, hashes(room / "whole")
    began = time.perf_counter()
    _finish(_export(room, room / "whole-export"))
    export_s = time.perf_counter() - began
    kills: Counter[str] = Counter()
    corrupt: list[str] = []
    completed = differ = rounds = not_completed = 0
    while sum(kills.values()) < count:
        output, exported = room / "killed", room / "exported"
        for folder in (output, exported):
            shutil.rmtree(folder, ignore_errors=True)
        rounds += 1
        words, target, longest_s = command(repository, base, output), output, whole_s
        if rounds % 2:  # over an older build, all of whose stages are made anew
            shutil.copytree(room / "whole", output)
            words = [*words, "--force"]
        if rounds % 4 == 0:
            words, target, longest_s = _export(room, exported), exported, export_s
            shutil.copytree(room / "whole-export", exported)
        for _ in range(min(6, count - sum(kills.values()))):
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, longest_s * 1.05))
            if process.poll() is not None:
                break  # it was faster
            process.send_signal(signal.SIGKILL)
            process.wait()
            stage = "export" if target is exported else _stage(output)
            kills[stage] += 1
            wrong = check_state(output) if target is output else _check_bundle(exported)
            if wrong is not None:
                corrupt.append(f"{stage}: {wrong}")
        if subprocess.run(_without_force(words), stdout=subprocess.DEVNULL, check=False).returncode:
            not_completed += 1
            continue
        completed += 1
        if target is output:
            differ += hashes(output) != wanted
        left = [
            path.name for path in room.rglob("*") if path.name.endswith((".partial", ".replaced", ".removed", ".tmp"))
        ]
        if left:
            corrupt.append(f"left behind: {left[0]}")
        print(f"{sum(kills.values())} of {count} kills, {len(corrupt)} corrupt, {differ} differ", file=sys.stderr)
    return {
        "kills": sum(kills.values()),
        "kills_by_last_finished_stage": dict(kills),
        "corrupt": len(corrupt),
        "corrupt_states": corrupt[:20],
        "runs_completed_afterwards": completed,
        "not_completed": not_completed,
        "hashes_compared": len(wanted),
        "hashes_differ": differ,
        "undisturbed_build_s": round(whole_s, 1),
    }


def _export(room: Path, target: Path) -> list[str]:
    words = ["export", str(room / "whole" / "model"), "-o", str(target), "--quantize", "fp32"]
    return [sys.executable, "-m", "submodel", *words]


def _without_force(words: list[str]) -> list[str]:
    return [word for word in words if word != "--force"]


def _finish(words: list[str]) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def _stage(output: Path) -> str:
    """The stage that was finished last."""
    records = sorted(output.glob("stages/*.json"), key=lambda path: path.stat().st_mtime_ns)
    return f"after {records[-1].stem}" if records else "at the start"


def _check_bundle(folder: Path) -> str | None:
    from builder.errors import SubmodelError
    from exporters.bundle import read_bundle

    try:
        read_bundle(folder)
    except SubmodelError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
