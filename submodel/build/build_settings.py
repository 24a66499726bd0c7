"""What a user can ask of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.bases.resolve import absolute_spec
from builder.calibration import CalibrationSettings
from builder.evaluation.held_out import ScoringSettings
from builder.finetuning.finetune_settings import FinetuneSettings, wanted_device
from builder.pruning.plan import SizeSettings
from builder.pruning.structured_pruning import PruneSettings
from contract.children import shell_line
from contract.plain_text import plain
from exporters.precision import parse_precision
from submodel.build.paths import WORKSPACE


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
    def command(self) -> str:
        """The command line that asks for this build of a repository in every folder; for defaults it names no option.

        Of steps and dtype, which no option sets, it has nothing; of --force neither.
        """
        asked: dict[str, tuple[Any, Any]] = {
            "--output": (self.output.absolute(), (self.repository / WORKSPACE).absolute()),
            "--base": (absolute_spec(self.base), BuildSettings.base),
            "--size": (f"{self.size:g}", f"{BuildSettings.size:g}"),
            "--minutes": (f"{self.minutes:g}", f"{FinetuneSettings.minutes:g}"),
            "--quantize": (self.quantize, BuildSettings.quantize),
            "--positions": (self.positions, ScoringSettings.positions),
            "--seed": (self.seed, BuildSettings.seed),
        }
        words = [word for name, (value, default) in asked.items() if value != default for word in (name, str(value))]
        return shell_line(["submodel", "build", plain(str(self.repository.absolute())), *map(plain, words)])

    @property
    def pruning(self) -> PruneSettings:
        """How the base is pruned."""
        # Fine-tuning makes up for what a short calibration loses, in less time than a long one takes (dev/LOG.md).
        per_channel = CalibrationSettings.tokens_per_channel if self.minutes == 0 else 0
        return PruneSettings(
            size=SizeSettings(size=self.size),
            calibration=CalibrationSettings(tokens_per_channel=per_channel, seed=self.seed),
        )
