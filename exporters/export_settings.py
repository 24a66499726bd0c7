"""The settings that all ways of exporting share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from exporters.parity import ParitySettings
from exporters.precision import Precision

COPIED_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
# Sub-models of 90 million parameters keep 73 % of their tokens in four bits, larger ones more.
INT4_MIN_AGREEMENT, INT4_MAX_LOSS_INCREASE = 0.65, 0.15


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """The precision of an export, and its parity check."""

    precision: Precision = Precision.INT8  # a quarter of float32's bytes at 1 % more loss
    parity: ParitySettings = field(default_factory=ParitySettings)

    @property
    def limits(self) -> ParitySettings:
        """The parity limits of this precision. Those of int4 are wider, and the report has the figures."""
        if self.precision is not Precision.INT4:
            return self.parity
        return replace(
            self.parity,
            min_agreement=min(self.parity.min_agreement, INT4_MIN_AGREEMENT),
            max_loss_increase=max(self.parity.max_loss_increase, INT4_MAX_LOSS_INCREASE),
        )
