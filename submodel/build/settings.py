"""What a user can ask of a build."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.calibration import CalibrationSettings
from builder.evaluation.held_out import ScoringSettings
from builder.pruning.plan import SizeSettings
from builder.pruning.prune import PruneSettings
from builder.recovery.settings import RecoverySettings
from exporters.precision import parse_precision


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """One build, as the command line states it."""

    repository: Path
    output: Path  # the folder .submodel of the repository, if not told otherwise
    base: str = "auto"
    size: float = SizeSettings.size
    drop_layers: int = SizeSettings.drop_layers
    minutes: float = RecoverySettings.minutes  # of recovery; 0 leaves it out
    quantize: str = "int8"
    seed: int = 0
    positions: int = ScoringSettings.positions  # held-out lines to complete; 0 leaves the evaluation out
    scores_bundle: bool = False  # the parity check compares it with the sub-model already
    force: bool = False
    prune: PruneSettings = field(init=False)
    recovery: RecoverySettings = field(init=False)
    scoring: ScoringSettings = field(init=False)

    def __post_init__(self) -> None:
        parse_precision(self.quantize)  # a typing error must not wait for the export to be found
        prune = PruneSettings(
            size=SizeSettings(size=self.size, drop_layers=self.drop_layers),
            calibration=replace(CalibrationSettings(), seed=self.seed),
        )
        object.__setattr__(self, "prune", prune)
        object.__setattr__(self, "recovery", RecoverySettings(minutes=self.minutes, seed=self.seed))
        # Another stream of random numbers than calibration's, fixed by the same seed.
        scoring = replace(ScoringSettings(), positions=self.positions, seed=self.seed + 1)
        object.__setattr__(self, "scoring", scoring)
