"""`submodel-lab replay`: a run of the server beside the model-free baseline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.corpus.corpus import read_corpus
from contract.bundle.bundle import find_trusted_bundle, read_bundle
from contract.errors import BuildError
from laboratory.replay.baseline import replay_baseline
from laboratory.replay.figures import BASELINE, summarize
from laboratory.replay.passages import Passage, describe_history, passages_later_than, passages_of_files
from laboratory.replay.server_session import replay
from submodel.console import StageDisplay


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """What is typed, and which bundle serves it."""

    repository: Path
    bundle: Path | None = None  # None: that of the repository
    held_out_by: Path | None = None  # the bundle whose held-out files are typed; None: the one that is asked
    since: str | None = None  # None: held-out files
    passages: int = 30  # 2,500 to 4,300 keystrokes
    seed: int = 0
    pace_ms: int | None = None  # of a keystroke; None: each answer is waited for


def run_replay(settings: ReplaySettings, display: StageDisplay) -> dict[str, Any]:
    """Return the document that `--json` prints. Raises SubmodelError."""
    root = settings.repository.resolve()
    bundle = settings.bundle or find_trusted_bundle(root)
    passages = _passages(settings, root, bundle)
    started = time.perf_counter()
    clusters = [one.commit or one.path for one in passages]
    rows = [summarize(BASELINE, replay_baseline(passages), clusters)]
    with display.stage("server") as advance:
        replayed = replay(root, bundle, passages, advance, settings.pace_ms)
    rows.append(summarize("server", replayed, clusters))
    return {
        "repository": str(root),
        "bundle": str(bundle),
        "source": describe_history(root, settings.since) if settings.since else "held-out files",
        "pace_ms": settings.pace_ms,
        "clusters": clusters,
        "runs": rows,
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
