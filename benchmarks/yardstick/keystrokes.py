"""Keystrokes saved: `submodel replay` of held-out passages and of passages added later, by each bundle of a plan.

    python -m benchmarks.yardstick.keystrokes PLAN.json [--only REPOSITORY ...] [--rival NAME ...] [--passages 30]
    python -m benchmarks.yardstick.keystrokes --table [FILE ...]

The plan is that of `benchmarks.yardstick`. Each bundle that it names is typed at by the same program, at the same
passages: the user waits for each suggestion, and then types the same again with a keystroke every PACE_MS. The server
shows what it shows by default. A rival that is no bundle is not typed at, and so has no keystroke row. Writes
benchmarks/results/replay-REPOSITORY.json for the first rival, and replay-REPOSITORY-RIVAL.json for each other one. A
result that is there is not made again. --table prints what they hold, all repositories together.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import RESULTS, run_program, write_result
from benchmarks.markdown import print_head, print_row
from benchmarks.yardstick.asked_positions import HELD_OUT, LATER
from benchmarks.yardstick.clusters import Cluster, cluster_numbers, clustered_mean, clustered_ratio
from benchmarks.yardstick.yardstick_plan import Repository, read_plan
from builder.evaluation.metrics import Interval
from contract.bundle.bundle import read_bundle
from laboratory.replay.figures import print_replay
from laboratory.replay.replay_run import ReplaySettings, run_replay
from submodel.console import StageDisplay

PACE_MS = 200  # 60 words of five characters a minute
WAYS: dict[str, int | None] = {"waiting": None, "at a pace": PACE_MS}
BASELINE, SERVER = 0, 1  # the runs of a way
OWN = "sub-model"  # of results that name no rival
Typed = Mapping[str, Any]  # one kind of passages of one repository, as the file has it
Each = Mapping[str, Sequence[int]]  # by what is counted: its count in each passage
Counts = Callable[[Each], tuple[Sequence[int], Sequence[int]]]  # of each passage: a part, and all


def main() -> None:
    """Type, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="a plan; with --table, results")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", nargs="+", default=(), help="names of repositories")
    parser.add_argument("--rival", nargs="+", default=(), help="names of rivals")
    parser.add_argument("--passages", type=int, default=30)
    arguments = parser.parse_args()
    if arguments.table:
        print_tables(arguments.files or sorted(RESULTS.glob("replay-*.json")))
        return
    for plan in map(read_plan, arguments.files):
        for repository in plan.repositories:
            if not arguments.only or repository.name in arguments.only:
                type_at(repository, arguments.rival, arguments.passages, f"{plan.name}.json")


def type_at(repository: Repository, names: Sequence[str], passages: int, plan: str) -> None:
    """Type at each bundle of a repository's rivals, once."""
    typed: set[Path] = set()
    for rival, spec in repository.rivals.items():
        bundle = spec.get("bundle")
        if bundle is None or bundle in typed or (names and rival not in names):
            continue
        is_first = not typed
        typed.add(bundle)
        name = f"replay-{repository.name}" + ("" if is_first else "-" + re.sub(r"\W+", "-", rival))
        if not (RESULTS / f"{name}.json").exists():
            kinds = type_kinds(repository, bundle, passages)
            reported = {
                "command": f"python -m benchmarks.yardstick.keystrokes {plan} --passages {passages}",
                "rival": rival,
                "commit": repository.since,
                "bundle_build": read_bundle(bundle, verify=False).build,
                "kinds": kinds,
            }
            write_result(name, reported)


def type_kinds(repository: Repository, bundle: Path, passages: int) -> dict[str, Any]:
    """Return the figures of both kinds of passages, with waiting and at a pace."""
    kinds: dict[str, Any] = {}
    for kind, folder, since in ((HELD_OUT, repository.built, None), (LATER, repository.clone, repository.since)):
        for way, pace_ms in WAYS.items():
            settings = ReplaySettings(
                repository=folder,
                bundle=bundle,
                held_out_by=repository.own,
                since=since,
                passages=passages,
                pace_ms=pace_ms,
            )
            with StageDisplay() as display:
                document = run_replay(settings, display)
            print_replay(document)
            described = {"source": document["source"], "clusters": cluster_numbers(document["clusters"])}
            kinds.setdefault(kind, described)[way] = {key: document[key] for key in ("pace_ms", "runs", "seconds")}
    return kinds


def print_tables(paths: Sequence[Path]) -> None:
    """Print what is saved, and how many of the suggestions are wrong: a row for each rival and kind of passages."""
    documents = [json.loads(path.read_text("utf-8")) for path in paths]
    rivals: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        rivals.setdefault(document.get("rival", OWN), []).append(document["kinds"])
    saved_by = [f"saved, {way}" for way in WAYS]
    print_head(
        "rival", "passages", "keystrokes", *saved_by, "(repositories)", *(f"wrong, {way}" for way in WAYS), "late"
    )
    for rival, kinds in rivals.items():
        for kind in (HELD_OUT, LATER):
            each = [one[kind] for one in kinds]
            paced = list(WAYS)[-1]
            cells = [
                *(saved(each, way) for way in WAYS),
                saved_in_others(each, paced),
                *(wrong(each, way) for way in WAYS),
            ]
            late = count(each, paced, "late") / count(each, paced, "asked")
            print_row(
                rival, kind, f"{count(each, paced, 'keys_alone'):,}", *map(_percent, cells), f"{100 * late:.0f} %"
            )
    for kind in (HELD_OUT, LATER):
        each = [one[kind] for one in next(iter(rivals.values()), [])]
        if each:
            print_row("similar line", kind, "", _percent(saved(each, "waiting", BASELINE)), *[""] * 5)


def count(kinds: Sequence[Typed], way: str, what: str) -> int:
    """Return how often something happened while the server was asked."""
    return sum(sum(one[way]["runs"][SERVER]["each"][what]) for one in kinds)


def saved(kinds: Sequence[Typed], way: str, run: int = SERVER) -> Interval:
    """Return the share of the keystrokes that are saved, with its 95 % interval over files or commits."""
    return _share(kinds, way, run, _saved_keys)


def saved_in_others(kinds: Sequence[Typed], way: str, run: int = SERVER) -> Interval:
    """Return the share that is saved, with its interval over repositories: a reader's own is another one."""
    each = [_saved_keys(kind[way]["runs"][run]["each"]) for kind in kinds]
    return clustered_mean([[Cluster(sum(part), sum(whole)) for part, whole in each]])


def wrong(kinds: Sequence[Typed], way: str) -> Interval:
    """Return the share of the suggestions that are wrong, likewise."""
    return _share(kinds, way, SERVER, lambda each: (each["wrong"], each["shown"]))


def _saved_keys(each: Each) -> tuple[Sequence[int], Sequence[int]]:
    """Return how many keystrokes each passage saves, and how many it takes alone."""
    pairs = zip(each["keys_alone"], each["keys"], strict=True)
    return [alone - keys for alone, keys in pairs], each["keys_alone"]


def _share(kinds: Sequence[Typed], way: str, run: int, counts: Counts) -> Interval:
    return clustered_ratio([(one["clusters"], *counts(one[way]["runs"][run]["each"])) for one in kinds])


def _percent(share: Interval) -> str:
    low, high = max(0.0, share.low), min(1.0, share.high)
    return f"{100 * share.value:.1f} % ({100 * low:.0f} to {100 * high:.0f})"


if __name__ == "__main__":
    run_program(main)
