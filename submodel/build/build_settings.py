"""What a user can ask of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.calibration import CalibrationSettings
from builder.evaluation.held_out import ScoringSettings
from builder.finetuning.finetune_settings import FinetuneSettings, wanted_device
from builder.pruning.plan import SizeSettings
from builder.pruning.structured_pruning import PruneSettings
from contract.plain_text import plain
from exporters.precision import parse_precision


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """One build, as the command line states it."""

    repository: Path
    output: Path  # the folder .submodel of the repository, by default
    base: str = "auto"
    size: float = SizeSettings.size  # share of the base's parameters
    minutes: float = FinetuneSettings.minutes  # of fine-tuning; 0 leaves it out
    steps: int | None = None  # of fine-tuning, in place of what the minutes allow
    quantize: str = "int8"
    seed: int = 0
    positions: int = ScoringSettings.positions  # held-out lines to complete; 0 leaves the evaluation out
    dtype: str | None = None  # to compute in: "float32" or "bfloat16"; None measures which is faster here
    force: bool = False

    def __post_init__(self) -> None:
        parse_precision(self.quantize)  # a typing error must not wait for the export to be found
        SizeSettings(size=self.size)  # likewise
        wanted_device()  # likewise

    @property
    def finetuning(self) -> FinetuneSettings:
        """How the pruned model is fine-tuned."""
        return FinetuneSettings(minutes=self.minutes, seed=self.seed, steps=self.steps)

    @property
    def scoring(self) -> ScoringSettings:
        """Which held-out lines are asked: by another stream of random numbers than calibration's, of the same seed."""
        return ScoringSettings(positions=self.positions, seed=self.seed + 1)

    @property
    def title(self) -> str:
        """What the model is of, for its report."""
        return plain(self.repository.resolve().name)  # its name may not be UTF-8

    @property
    def pruning(self) -> PruneSettings:
        """How the base is pruned."""
        # Fine-tuning makes up for what a short calibration loses, in less time than a long one takes (dev/LOG.md).
        per_channel = CalibrationSettings.tokens_per_channel if self.minutes == 0 else 0
        return PruneSettings(
            size=SizeSettings(size=self.size),
            calibration=CalibrationSettings(tokens_per_channel=per_channel, seed=self.seed),
        )
