"""`submodel replay` of the reported repositories' held-out files, each with its own bundle.

    python -m benchmarks.replays --base qwen2.5-coder-0.5b --only httpx [--passages 30] [--switch all]

The bundles are those of `benchmarks.repository_matters`, of a build without other options. What is missing or of
another version of the program is built now. Writes benchmarks/results/replay-BASE-REPOSITORY.json, with --switch
replay-switches-….
"""

from __future__ import annotations

import argparse

from benchmarks.builds import build, describe_repository, run_program, write_result
from benchmarks.measured_repositories import add_only, chosen, fetch
from contract.bundle.bundle import read_bundle
from contract.console import StageDisplay
from laboratory.replay.figures import print_replay
from laboratory.replay.replay_run import ReplaySettings, run_replay


def main() -> None:
    """One repository after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    add_only(parser)
    parser.add_argument("--passages", type=int, default=30)
    parser.add_argument("--switch", action="append", default=[], help="a part to switch, or 'all'")
    arguments = parser.parse_args()
    for repository in chosen(arguments.only):
        folder = fetch(repository)
        bundle = build(folder, f"{folder.name}-{arguments.base}", arguments.base, ["--positions", "0"]) / "bundle"
        settings = ReplaySettings(
            repository=folder,
            bundle=bundle,
            passages=arguments.passages,
            options={},
            switches=tuple(arguments.switch),
        )
        with StageDisplay() as display:
            document = run_replay(settings, display)
        print_replay(document)
        asked = f"--only {repository.name} --passages {arguments.passages}"
        reported = {
            "command": f"python -m benchmarks.replays --base {arguments.base} {asked}"
            + "".join(f" --switch '{name}'" for name in arguments.switch),
            **describe_repository(repository, folder),
            "bundle_build": read_bundle(bundle, verify=False).build,
            **{key: document[key] for key in ("source", "runs", "seconds")},
        }
        part = "switches-" if arguments.switch else ""
        write_result(f"replay-{part}{arguments.base}-{repository.name}", reported)


if __name__ == "__main__":
    run_program(main)
