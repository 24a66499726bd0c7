"""The settings that all ways of exporting share."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporters.parity import ParitySettings
from exporters.precision import Precision

COPIED_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """The precision of an export, and its parity check."""

    precision: Precision = Precision.INT8  # a quarter of float32's bytes at 1 % more loss
    parity: ParitySettings = field(default_factory=ParitySettings)
