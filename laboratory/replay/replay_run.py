"""`submodel-lab replay`: runs of the server, each with one part switched, beside the model-free baseline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from builder.corpus.corpus import read_corpus
from contract.bundle.bundle import find_trusted_bundle, read_bundle
from contract.errors import BuildError, SubmodelError
from laboratory.replay.baseline import replay_baseline
from laboratory.replay.figures import summarize
from laboratory.replay.passages import Passage, describe_history, passages_later_than, passages_of_files
from laboratory.replay.server_session import replay
from lsp_server.options import EXPERIMENTAL, FilterOptions, StopOptions, wire_name
from submodel.console import StageDisplay

# The parts of the server that can be measured by switching them, with their switches as they stand below EXPERIMENTAL.
SWITCHES: dict[str, dict[str, Any]] = {
    **{f"without {wire_name(one.name)}": {"stops": {wire_name(one.name): False}} for one in fields(StopOptions)},
    **{f"without {wire_name(one.name)}": {"filters": {wire_name(one.name): False}} for one in fields(FilterOptions)},
    "without multiLine": {"trigger": {"multiLine": False}},
    **{f"with threshold {least}": {"threshold": {"confidence": least}} for least in (0, 0.25, 0.6)},
}
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """What is typed, and which bundle serves it."""

    repository: Path
    bundle: Path | None = None  # None: that of the repository
    held_out_by: Path | None = None  # the bundle whose held-out files are typed; None: the one that is asked
    since: str | None = None  # None: held-out files
    passages: int = 30  # 2,500 to 4,300 keystrokes
    seed: int = 0
    switches: tuple[str, ...] = ()  # names in SWITCHES, or ALL
    pace_ms: int | None = None  # of a keystroke; None: each answer is waited for


def run_replay(settings: ReplaySettings, display: StageDisplay) -> dict[str, Any]:
    """Return the document that `--json` prints. Raises SubmodelError."""
    root = settings.repository.resolve()
    bundle = settings.bundle or find_trusted_bundle(root)
    switches = tuple(SWITCHES) if ALL in settings.switches else settings.switches
    unknown = [name for name in switches if name not in SWITCHES]
    if unknown:
        raise BuildError(f"There is no part {unknown[0]!r} to switch; known are {', '.join(SWITCHES)}.")
    passages = _passages(settings, root, bundle)
    started = time.perf_counter()
    clusters = [one.commit or one.path for one in passages]
    rows = [summarize("similar line", replay_baseline(passages), clusters)]
    failed: list[str] = []
    runs: dict[str, dict[str, Any]] = {"server": {}, **{name: SWITCHES[name] for name in switches}}
    for name, switched in runs.items():
        try:
            with display.stage(name) as advance:
                replayed = replay(root, bundle, passages, {EXPERIMENTAL: switched}, advance, settings.pace_ms)
        except SubmodelError as error:
            if name == "server":
                raise
            failed.append(name)  # the runs before it are not lost
            display.say(f"The run {name} has no figures: {error}")
            continue
        rows.append({**summarize(name, replayed, clusters), "options": switched})
    return {
        "repository": str(root),
        "bundle": str(bundle),
        "source": describe_history(root, settings.since) if settings.since else "held-out files",
        "pace_ms": settings.pace_ms,
        "clusters": clusters,
        "runs": rows,
        **({"failed": failed} if failed else {}),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _passages(settings: ReplaySettings, root: Path, bundle: Path) -> Sequence[Passage]:
    if settings.since is not None:
        passages: Sequence[Passage] = passages_later_than(
            bundle, root, settings.since, settings.passages, settings.seed
        )
        where = f"No code was added to {root} since {settings.since}"
    else:
        own = settings.held_out_by or bundle
        held_out = frozenset(read_bundle(own, verify=False).manifest.get("held_out_sha256", ()))
        files = [file for file in read_corpus(root).files if file.sha256 in held_out]
        passages = passages_of_files(files, settings.passages, settings.seed)
        where = f"None of the files that {bundle} held out is in {root} as it was"
    if not passages:
        raise BuildError(f"{where}; name another revision with --since, or build again.")
    return passages
