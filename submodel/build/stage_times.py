"""How long each stage of a build is expected to take: an estimate from the size of the base.

A stage's work is the base's size in millions of parameters; with fewer positions, scoring has less. Fine-tuning takes
the minutes that it was given. What the first stages really take corrects the rest (`submodel.forecast`).
"""

from __future__ import annotations

from typing import Final

from builder.bases.catalogue import CATALOGUE
from builder.bases.resolve import ResolvedBase
from submodel.build.build_settings import BuildSettings
from submodel.forecast import FIXED

# Seconds for a million parameters, as `make demo` took on two cores of a server without AMX.
SECONDS: Final = {
    "prune": 0.3,
    "finetune": 0.05,
    "export": 0.2,
    "score the base": 0.55,
    "score the sub-model": 0.3,  # a bundle is faster than a checkpoint
}
PRUNES_NOTHING: Final = 0.02  # in place of "prune", at --size 1
EXCERPT_POSITIONS: Final = 7  # held-out positions that take as long to complete as the excerpts to read


def expected_stages(settings: BuildSettings, base: ResolvedBase) -> dict[str, float]:
    """The seconds that each stage of a build is expected to take, by the stage's name."""
    expected = {name: seconds * _millions(base) for name, seconds in SECONDS.items()}
    if settings.size == 1.0:
        expected["prune"] = PRUNES_NOTHING * _millions(base)
    expected[FIXED] += settings.minutes * 60
    for name in ("score the base", "score the sub-model"):
        expected[name] *= (EXCERPT_POSITIONS + settings.positions) / 100
        if not settings.positions:
            del expected[name]
    return expected


def _millions(base: ResolvedBase) -> float:
    """Parameters of the base in millions; of one that is not in the catalogue about, from the size of its files."""
    if known := CATALOGUE.get(base.name):
        return known.parameters / 1e6
    return base.weight_bytes / (1e6 if base.is_gguf else 2e6) or 100.0  # about eight or sixteen bits a parameter
