"""What a user can ask of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.calibration import CalibrationSettings
from builder.evaluation.held_out import ScoringSettings
from builder.finetuning.finetune_settings import FinetuneSettings, wanted_device
from builder.pruning.plan import SizeSettings
from builder.pruning.structured_pruning import PruneSettings
from builder.sources.distribution import parse_distribution
from builder.sources.language_sets import find_language_set
from contract.errors import BuildError
from contract.plain_text import plain
from exporters.precision import parse_precision


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """One build, as the command line states it."""

    repository: Path
    output: Path  # the folder .submodel of the repository, by default
    language: str | None = None  # in place of a repository: listed packages of that language
    sources: tuple[str, ...] = ()  # in place of the listed ones: source distributions
    base: str = "auto"
    size: float | None = SizeSettings.size  # None: the smallest that is as good as the base on validation files
    keeps_sub_model: bool = False  # a base that is a sub-model is not pruned again, whatever `size` says
    minutes: float = FinetuneSettings.minutes  # of fine-tuning; 0 leaves it out
    steps: int | None = None  # of fine-tuning, in place of what the minutes allow
    quantize: str = "int8"
    seed: int = 0
    positions: int = ScoringSettings.positions  # held-out lines to complete; 0 leaves the evaluation out
    search_positions: int = 100  # validation lines that each size of the search is judged on
    dense_baseline: bool = False  # fine-tune the dense base as well, to compare with
    dtype: str | None = None  # to compute in: "float32" or "bfloat16"; None measures which is faster here
    force: bool = False

    def __post_init__(self) -> None:
        parse_precision(self.quantize)  # a typing error must not wait for the export to be found
        self.prune_to(1.0 if self.size is None else self.size)  # likewise
        wanted_device()  # likewise
        if self.language is not None:
            find_language_set(self.language)
            if self.repository != Path():
                raise BuildError(
                    f"--language builds of listed packages in place of {self.repository}; leave out one of the two."
                )
        for source in self.sources:
            parse_distribution(source)
        if self.sources and self.language is None:
            raise BuildError("--source names packages of a language; say which with --language.")
        if self.dense_baseline and self.positions == 0:
            raise BuildError("--dense-baseline is a comparison on held-out lines; give --positions above 0.")

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
        return self.language or plain(self.repository.resolve().name)  # its name may not be UTF-8

    def prune_to(self, size: float) -> PruneSettings:
        """How the base is pruned to a share of its parameters."""
        # Fine-tuning makes up for what a short calibration loses, in less time than a long one takes (dev/LOG.md).
        per_channel = CalibrationSettings.tokens_per_channel if self.minutes == 0 else 0
        return PruneSettings(
            size=SizeSettings(size=size),
            calibration=CalibrationSettings(tokens_per_channel=per_channel, seed=self.seed),
        )
