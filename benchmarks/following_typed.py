"""What following a repository saves in keystrokes: the next commits' lines, typed at models that followed and did not.

    python -m benchmarks.following_typed CLONE --built CHECKOUT --name httpx --base qwen2.5-coder-0.5b [--back 50]

CLONE has its whole history. CHECKOUT is as CLONE was some commits ago, with the default build of that: "never". At
--back commits before CLONE's HEAD, "update" is that build updated once, and "build" is a whole build. Passages of the
commits since are typed at each of the three, waiting for each suggestion (`submodel-lab replay`). Writes
benchmarks/results/typed-following-NAME.json.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from benchmarks.builds import checkout, commit_at, mark_of, run_once, run_program, write_result
from benchmarks.clusters import cluster_numbers
from benchmarks.following_commits import ARMS, NOT_FOLLOWED
from benchmarks.measured_repositories import CACHE
from benchmarks.replays import type_passages
from contract.bundle.bundle import find_trusted_bundle
from laboratory.replay.replay_run import ReplaySettings


def main() -> None:
    """Update, build, type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--built", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--back", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=2.0, help="of the update's fine-tuning")
    parser.add_argument("--passages", type=int, default=40)
    known = parser.parse_args()
    commit = commit_at(known.clone, known.back)
    folders = {"never": known.built.resolve()}
    commands = {
        "update": ["update", ".", "--minutes", f"{known.minutes:g}"],
        "build": ["build", ".", "--base", known.base],
    }
    took: dict[str, dict[str, Any]] = {}
    for arm, words in commands.items():
        folder = folders[arm] = checkout(known.clone, CACHE / "following-typed" / known.name / arm, commit)
        if arm == "update" and not (folder / ".submodel").exists():
            shutil.copytree(folders["never"] / ".submodel", folder / ".submodel", ignore=NOT_FOLLOWED)
        took[arm] = run_once(mark_of(folder, known.back), words, folder, commit)
    typed: dict[str, Any] = {}
    for arm in ARMS:
        bundle = find_trusted_bundle(folders[arm])
        document = type_passages(
            ReplaySettings(repository=known.clone, bundle=bundle, since=commit, passages=known.passages)
        )
        typed["source"], typed["clusters"] = document["source"], cluster_numbers(document["clusters"])
        typed[arm] = {key: document[key] for key in ("runs", "seconds")}
    write_result(
        f"typed-following-{known.name}",
        {
            "command": f"python -m benchmarks.following_typed CLONE --built CHECKOUT --name {known.name} "
            f"--base {known.base} --back {known.back} --minutes {known.minutes:g} --passages {known.passages}",
            "built": commit_at(known.built, 0),
            "commit": commit,
            "head": commit_at(known.clone, 0),
            "took": took,
            "typed": typed,
        },
    )


if __name__ == "__main__":
    run_program(main)
