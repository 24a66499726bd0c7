"""SIGKILL at random moments of build and export: what is left is whole, and the next run ends.

    python -m benchmarks.kills [--count 50] [--only export]

The build is a small one (`tiny_build`). Each round takes one scenario, in turn, and kills it up to six times, each run
going on from what the last one left: each time at a random moment behind a random line of what it says, so that all
stages are hit alike, and not mostly the seconds in which it starts. Then a run that nobody kills must end with the same
files as one before which nobody was killed. After each kill everything must be absent or whole.
It doesn't kill a build's fine-tuning, and a process that is killed is no power cut.
Writes benchmarks/results/kills.json, or kills-ONLY.json; exits with 1 where a state was corrupt or a hash differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.tiny_build import check_state, command, hashes, make_inputs
from contract.bundle.bundle import read_bundle
from contract.children import python_module
from contract.errors import BundleError

MAX_KILLS_A_ROUND = 6
START = "its start"
A_BREATH_S = 0.02  # lines that are said at once are one moment
LEFTOVERS = (".partial", ".replaced", ".removed")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command that writes `target`, over an older one where `older` is given."""

    name: str
    words: Sequence[str]
    target: Path
    check: Callable[[Path], str | None]  # what is wrong with what a kill left
    digests: Callable[[Path], dict[str, str]]
    older: Path | None = None
    only_killed: Sequence[str] = ()  # options of the runs that are killed

    def begin(self) -> None:
        """As before the first run."""
        for left in (self.target, *self.target.parent.glob(f".{self.target.name}*")):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        if self.older is not None:
            copy: Callable[..., Any] = shutil.copytree if self.older.is_dir() else shutil.copyfile
            copy(self.older, self.target)


def main() -> None:
    """Kill, look, go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a scenario")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as room:
        figures = _run(Path(room), arguments.count, rng, arguments.only)
    command = f"python -m benchmarks.kills {' '.join(sys.argv[1:])}"
    write_result(f"kills-{arguments.only}" if arguments.only else "kills", {"command": command, **figures})
    print(json.dumps(figures, indent=2))
    sys.exit(bool(figures["corrupt"] or figures["not_completed"] or figures["hashes_differ"]))


def make_scenarios(room: Path) -> list[Scenario]:
    """All of them; first makes, undisturbed, what they begin from."""
    repository, base = make_inputs(room)
    whole, exported = room / "whole", room / "whole-export"
    _finish(command(repository, base, whole))
    _finish(_submodel("export", whole / "model", "-o", exported, "--quantize", "fp32"))
    target = room / "target"
    build: dict[str, Any] = {
        "words": command(repository, base, target / "build"),
        "target": target / "build",
        "digests": hashes,
    }
    target.mkdir()
    bundle: dict[str, Any] = {"check": _check_bundle, "digests": _bundle_digests}
    return [
        Scenario(name="build", check=check_state, **build),
        Scenario(name="build over an older one", check=_check_rebuild, older=whole, only_killed=("--force",), **build),
        Scenario(
            name="export",
            words=_submodel("export", whole / "model", "-o", target / "exported", "--quantize", "fp32"),
            target=target / "exported",
            older=exported,
            **bundle,
        ),
    ]


def _run(room: Path, count: int, rng: random.Random, only: str | None) -> dict[str, Any]:
    scenarios = [one for one in make_scenarios(room) if only in (None, one.name)]
    spans, wanted = {}, {}
    for scenario in scenarios:
        scenario.begin()
        spans[scenario.name] = _measure_spans([*scenario.words, *scenario.only_killed])
        wanted[scenario.name] = scenario.digests(scenario.target)
    kills: Counter[str] = Counter()
    corrupt: list[str] = []
    completed = differ = not_completed = 0
    for scenario in itertools.cycle(scenarios):
        if sum(kills.values()) >= count:
            break
        scenario.begin()
        lines = list(spans[scenario.name])
        for _ in range(min(MAX_KILLS_A_ROUND, count - sum(kills.values()))):
            line = rng.choice(lines)
            if line != START and not scenario.only_killed:  # the next run goes on from there
                lines = [START, *lines[lines.index(line) :]]
            seconds = spans[scenario.name][line]
            if not _kill([*scenario.words, *scenario.only_killed], line, rng.uniform(0, seconds * 1.05)):
                break  # it was faster, or had nothing more to do there
            moment = f"{scenario.name}, after: {line}"
            kills[moment] += 1
            wrong = scenario.check(scenario.target)
            if wrong is None and scenario.older is not None and not scenario.target.exists():
                wrong = f"{scenario.target.name} is gone"
            if wrong is not None:
                corrupt.append(f"{moment}: {wrong}")
        if subprocess.run(scenario.words, stdout=subprocess.DEVNULL, check=False).returncode:
            not_completed += 1
            continue
        completed += 1
        differ += scenario.digests(scenario.target) != wanted[scenario.name]
        left = [path.name for path in room.rglob("*") if path.name.endswith(LEFTOVERS)]
        if left:
            corrupt.append(f"{scenario.name}, left behind: {left[0]}")
        print(f"{sum(kills.values())} of {count} kills, {len(corrupt)} corrupt, {differ} differ", file=sys.stderr)
    return {
        "kills": sum(kills.values()),
        "kills_by_last_line": dict(sorted(kills.items())),
        "corrupt": len(corrupt),
        "corrupt_states": corrupt[:20],
        "runs_completed_afterwards": completed,
        "not_completed": not_completed,
        "files_hashed": {name: len(digests) for name, digests in wanted.items()},
        "hashes_differ": differ,
        "undisturbed_s": {name: round(sum(times.values()), 1) for name, times in spans.items()},
    }


def _measure_spans(words: Sequence[str]) -> dict[str, float]:
    """How many seconds pass behind what an undisturbed run says, and behind its start; of a table the last line."""
    spans: dict[str, float] = {}
    line, began = START, time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for said in process.stderr:
            now = time.perf_counter()
            spans[line], line, began = now - began, _key(said), now
    spans[line] = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"Nothing was measured: {' '.join(words)} ended with {process.returncode}.")
    return {line: seconds for line, seconds in spans.items() if seconds > A_BREATH_S}


def _kill(words: Sequence[str], line: str, after_s: float) -> bool:
    """Kill it so long after it said the line; whether it was still running then."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        if line != START and not any(_key(said) == line for said in process.stderr):
            return False
        time.sleep(after_s)
        is_running = process.poll() is None
        process.send_signal(signal.SIGKILL)
    return is_running


def _key(said: str) -> str:
    """A line without what differs from run to run: times and sizes."""
    return re.sub(r"[\d.,]+", "…", said.strip())


def _submodel(*words: object) -> list[str]:
    return [*python_module("submodel"), *map(str, words)]


def _finish(words: Sequence[str]) -> None:
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def _check_rebuild(output: Path) -> str | None:
    """The editor has a bundle all the time."""
    return check_state(output) or _check_bundle(output / "bundle")


def _check_bundle(folder: Path) -> str | None:
    try:
        read_bundle(folder)
    except BundleError as error:
        return str(error)
    return None


def _bundle_digests(folder: Path) -> dict[str, str]:
    """As its manifest has them, but for those of files that tell of times."""
    return {name: facts["sha256"] for name, facts in read_bundle(folder).manifest["files"].items()}


if __name__ == "__main__":
    main()
