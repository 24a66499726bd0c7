"""`submodel-lab replay` of held-out passages and of passages added later, with waiting and at a typing pace.

    python -m benchmarks.replays CLONE --built CHECKOUT --name httpx [--back 150] [--passages 30]

CLONE has its whole history. CHECKOUT is as CLONE was --back commits before its HEAD, with the default build of that.
Held-out passages come from CHECKOUT, later ones from the commits since. The user waits for each suggestion, and then
types the same again with a keystroke every PACE_MS. Writes benchmarks/results/replay-NAME.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.builds import commit_at, run_program, write_result
from benchmarks.clusters import cluster_numbers
from contract.bundle.bundle import find_trusted_bundle, read_bundle
from contract.console import StageDisplay
from laboratory.replay.figures import print_replay
from laboratory.replay.replay_run import ReplaySettings, run_replay

PACE_MS = 200  # 60 words of five characters a minute


def main() -> None:
    """Both kinds of passages of one repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--built", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--back", type=int, default=150)
    parser.add_argument("--passages", type=int, default=30)
    arguments = parser.parse_args()
    bundle = find_trusted_bundle(arguments.built.resolve())
    since, head = (commit_at(arguments.clone, back) for back in (arguments.back, 0))
    if commit_at(arguments.built, 0) != since:
        parser.error(f"{arguments.built} is not at {since}, {arguments.back} commits before the clone's HEAD")
    kinds: dict[str, Any] = {}
    for kind, repository, revision in (("held-out", arguments.built, None), ("later", arguments.clone, since)):
        for how, pace_ms in (("waiting", None), ("at a pace", PACE_MS)):
            document = type_passages(
                ReplaySettings(
                    repository=repository,
                    bundle=bundle,
                    since=revision,
                    passages=arguments.passages,
                    pace_ms=pace_ms,
                )
            )
            asked = {key: document[key] for key in ("pace_ms", "runs", "seconds")}
            described = {"source": document["source"], "clusters": cluster_numbers(document["clusters"])}
            kinds.setdefault(kind, described)[how] = asked
    reported = {
        "command": f"python -m benchmarks.replays CLONE --built CHECKOUT --name {arguments.name} "
        f"--back {arguments.back} --passages {arguments.passages}",
        "commit": since,
        "head": head,
        "bundle_build": read_bundle(bundle, verify=False).build,
        "kinds": kinds,
    }
    write_result(f"replay-{arguments.name}", reported)


def type_passages(settings: ReplaySettings) -> dict[str, Any]:
    """Return what `submodel-lab replay` says, which is printed, too."""
    with StageDisplay() as display:
        document = run_replay(settings, display)
    print_replay(document)
    return document


if __name__ == "__main__":
    run_program(main)
