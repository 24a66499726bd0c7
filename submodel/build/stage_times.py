"""How long each stage of a build is expected to take.

A stage's work is the base's size in millions of parameters; with fewer positions, scoring has less. The seconds for a
unit of work come from this user's last builds (stage-times.json in the state folder), or else from `SECONDS`. Of two
builds the faster one counts: the other may have stood still for hours.
Fine-tuning takes the minutes that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median_low
from typing import Any, Final

from builder.bases.catalogue import CATALOGUE
from builder.bases.resolve import ResolvedBase
from builder.lock_file import open_lock
from contract.files.state_folder import state_folder
from contract.files.untrusted_json import read_json
from contract.files.whole_files import PRIVATE, write_json
from submodel.build.build_settings import BuildSettings
from submodel.build.stages import StageRecord
from submodel.forecast import FIXED

ANSWER: Final = "answer"  # the kind of the stage that scores a bundle, which is faster than a checkpoint
WHOLE: Final = "prune nothing"
# Seconds for a unit of work, as `make demo` took on two cores of a server without AMX.
# At --size 1 nothing is pruned, which is a kind of its own.
SECONDS: Final = {
    "score": 0.55,
    ANSWER: 0.3,
    "prune": 0.3,
    WHOLE: 0.02,
    "finetune": 0.05,
    "export": 0.2,
}
REMEMBERED: Final = 3  # builds of a base
LOCK_TIMEOUT_S: Final = 10.0  # another build holds the lock for milliseconds, unless it is stopped or its disk is gone
MAX_BYTES: Final = 1 << 20
KEPT_ANSWERS: Final = "kept_answers"  # in the record of a scoring: how many of its answers an earlier build had
EXCERPT_POSITIONS: Final = 7  # held-out positions that take as long to complete as the excerpts to read


def expected_stages(settings: BuildSettings, base: ResolvedBase) -> dict[str, float]:
    """The seconds that each stage of a build is expected to take, by the stage's name."""
    scored = settings.positions > 0
    names = ["prune", "finetune", "export", *(["score the base", "score the sub-model"] * scored)]
    known = _read_paces().get(base.name, {})
    fixed_s = settings.minutes * 60
    return {
        name: _units(name, settings, base) * (median_low(known[kind]) if known.get(kind) else SECONDS[kind])
        + (fixed_s if kind == FIXED else 0)
        for name in names
        for kind in [_kind(name, settings.size)]
    }


def remember_stages(settings: BuildSettings, base: ResolvedBase, records: Sequence[StageRecord]) -> None:
    """Keep what the stages of this build took, for the next build's forecast; builds that end together take turns.

    If the state folder can't be locked or written, this build's times are not kept: they are not worth a failed build.
    """
    with suppress(OSError), open_lock(_path().with_suffix(".lock"), LOCK_TIMEOUT_S):  # filelock's Timeout is an OSError
        _remember(settings, base, records)


def _remember(settings: BuildSettings, base: ResolvedBase, records: Sequence[StageRecord]) -> None:
    bases = _read_paces()
    paces = bases.setdefault(base.name, {})
    expected = expected_stages(settings, base)
    for record in records:
        kind = _kind(record.name, settings.size)
        has_kept = isinstance(record.result, Mapping) and record.result.get(KEPT_ANSWERS, 0) > 0
        if record.is_fresh and record.name in expected and not has_kept:
            seconds = record.seconds - (settings.minutes * 60 if kind == FIXED else 0)
            if seconds < 0:  # a killed run had done a part of it, or it ended before its minutes
                continue
            pace = seconds / _units(record.name, settings, base)
            paces[kind] = [*paces.get(kind, []), round(pace, 6)][-REMEMBERED:]
    write_json(_path(), bases, mode=PRIVATE)


def _kind(stage: str, size: float) -> str:
    """Stages of a kind take as long for a unit of work. size: of the sub-model; at 1 nothing is pruned."""
    if stage == "prune" and size == 1.0:
        return WHOLE
    return ANSWER if stage == "score the sub-model" else stage.split()[0]


def _units(stage: str, settings: BuildSettings, base: ResolvedBase) -> float:
    """Work of a stage: millions of parameters. The text that scoring reads counts as EXCERPT_POSITIONS."""
    positions = EXCERPT_POSITIONS + settings.positions
    return _millions(base) * (positions / 100 if stage.startswith("score") else 1)


def _millions(base: ResolvedBase) -> float:
    """Parameters of the base in millions; of one that is not in the catalogue about, from the size of its files."""
    if known := CATALOGUE.get(base.name):
        return known.parameters / 1e6
    return base.weight_bytes / (1e6 if base.is_gguf else 2e6) or 100.0  # about eight or sixteen bits a parameter


def _path() -> Path:
    return state_folder() / "stage-times.json"


def _read_paces() -> dict[str, dict[str, list[float]]]:
    """Seconds for a unit of work by base and kind of stage; {} if there are none, or the file is damaged."""
    try:
        document: Any = read_json(_path(), MAX_BYTES)
        return {
            str(base): {str(kind): [float(pace) for pace in paces] for kind, paces in kinds.items()}
            for base, kinds in document.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
