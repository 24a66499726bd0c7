"""One yardstick: the same positions of repositories, asked of every rival in turn.

    python -m benchmarks.yardstick PLAN.json [--only REPOSITORY ...] [--rival NAME ...]
    python -m benchmarks.yardstick.table

`benchmarks/yardstick/yardstick_plan.py` says what stands in PLAN.json. At each position the rivals answer one after the
other, so that a machine whose speed changes is as fast for all. Answers are appended to a file in the cache: a run that
was killed resumes. --only and --rival ask a part. After each repository benchmarks/results/yardstick-PLAN.json is
written: the positions with their truths, and for each rival its text there, whether that is right (the first line),
whether something was shown, and the milliseconds from the request to the answer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, run_program
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.measured_repositories import CACHE
from benchmarks.yardstick.answers import Answers, is_right, write_rows
from benchmarks.yardstick.asked_positions import Position, draw_positions
from benchmarks.yardstick.rivals import Rival, open_rival
from benchmarks.yardstick.yardstick_plan import Plan, Repository, read_plan


def main() -> None:
    """Ask what was not asked yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--only", nargs="+", default=(), help="names of repositories")
    parser.add_argument("--rival", nargs="+", default=(), help="names of rivals")
    arguments = parser.parse_args()
    plan = read_plan(arguments.plan)
    run(plan, Answers(CACHE / "yardstick" / f"{plan.name}.jsonl"), RESULTS, arguments.only, arguments.rival)


def run(plan: Plan, answers: Answers, results: Path, only: Collection[str] = (), rivals: Collection[str] = ()) -> None:
    """Ask the rivals of all repositories, or of those that are named, and write the result after each repository."""
    asked: list[Position] = []
    for repository in plan.repositories:
        positions = draw_positions(repository, plan.count)
        asked += positions
        if not only or repository.name in only:
            ask(repository, positions, answers, rivals)
            write(plan, asked, answers, results)
    write(plan, asked, answers, results)


def ask(repository: Repository, positions: Sequence[Position], answers: Answers, names: Collection[str] = ()) -> None:
    """Ask each rival at each position, in turns."""
    with ExitStack() as stack:
        opened: dict[str, Rival] = {}
        for name, spec in repository.rivals.items():
            missing = [one for one in positions if not answers.has(one.repository, one.kind, name, one.hash)]
            if missing and (not names or name in names):
                opened[name] = open_rival(spec, repository, stack)
                answers.begin(repository.name, name, describe_origin(opened[name]))
        for number, position in enumerate(positions, start=1):
            for name, rival in opened.items():
                if not answers.has(position.repository, position.kind, name, position.hash):
                    answers.put(**answer_of(rival, name, position))
            if opened and number % 10 == 0:
                print(f"{repository.name}: {number} of {len(positions)} positions", flush=True)


def answer_of(rival: Rival, name: str, position: Position) -> dict[str, Any]:
    """Return the row of one answer."""
    rival.prepare(position.stroke)
    started = time.perf_counter()
    text = rival.complete(position.stroke)
    milliseconds = (time.perf_counter() - started) * 1000
    return {
        "position": position.hash,
        "repository": position.repository,
        "kind": position.kind,
        "rival": name,
        "text": text,
        "right": is_right(text, position.stroke.truth),
        "shown": bool(text.strip()),
        "milliseconds": round(milliseconds, 1),
    }


def describe_origin(rival: Rival) -> dict[str, Any]:
    """Return what gives a rival's answers: its hash, this program's commit, and the machine."""
    versions = describe_versions()
    machine = describe_machine()
    return {"sha256": rival.sha256, "commit": versions.get("commit", ""), "machine": machine, "versions": versions}


def write(plan: Plan, positions: Sequence[Position], answers: Answers, results: Path) -> None:
    """Write the answers to these positions, with what made them."""
    wanted = {(one.repository, one.kind, one.hash) for one in positions}
    rows = [row for row in answers.rows.values() if (row["repository"], row["kind"], row["position"]) in wanted]
    origins = [
        {"repository": name, "rival": rival, **one} for (name, rival), each in answers.origins.items() for one in each
    ]
    facts = {
        "command": f"python -m benchmarks.yardstick {plan.name}.json",
        "count": plan.count,
        "rivals": list(plan.repositories[0].rivals),
        "revisions": {one.name: one.since for one in plan.repositories},
    }
    path = results / f"yardstick-{plan.name}.json"
    write_rows(path, facts, origins=origins, positions=[one.to_json() for one in positions], answers=rows)


if __name__ == "__main__":
    run_program(main)
