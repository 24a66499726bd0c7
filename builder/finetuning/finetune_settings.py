"""How a pruned model is fine-tuned on its repository."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from typing import Any, Final

from contract.errors import BuildError

DEVICE_VARIABLE: Final = "SUBMODEL_DEVICE"


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Low-rank adaptation (Hu et al., LoRA, 2021) within a time budget, merged afterwards."""

    minutes: float = 4.5  # of training and validation together; 0 turns fine-tuning off
    rank: int = 16
    scale: float = 2.0  # alpha / rank: what the product of the two factors is multiplied with
    learning_rate: float = 5e-4
    warmup_steps: int = 8  # short; the rate of training is measured on them, too
    # Middles are what completions are made of, and one token in fifty. Counted more, they are more probable (LOG.md).
    middle_weight: float = 5.0
    max_passes: int = 4  # over the calibration files; more repeat what is known by heart
    validation_tokens: int = 4_096  # five or six prompts: half have the whole window, half a quarter of it
    least_validations: int = 1  # spread evenly over the steps; each costs some ten seconds of the budget
    # Validations without a new best before it stops, or a third of all. The falling learning rate brings the best last.
    least_patience: int = 3
    seed: int = 0
    steps: int | None = None  # so many at most, however long they take: the same model again on machines of one kind

    def __post_init__(self) -> None:
        if not 0 <= self.minutes < math.inf:
            raise BuildError(f"--minutes {self.minutes:g} is out of range; give 0 (no fine-tuning) or more.")

    @property
    def validations(self) -> int:
        """The most validations: one for each 2.5 minutes of the budget, but at least `least_validations`."""
        return max(self.least_validations, int(self.minutes / 2.5))

    def to_json(self) -> dict[str, Any]:
        """For keys and manifests; what is not set is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def wanted_device() -> str:
    """Return what DEVICE_VARIABLE asks for: "cpu", or "" for the GPU if there is one. Raises BuildError otherwise."""
    device = os.environ.get(DEVICE_VARIABLE, "")
    if device not in ("", "cpu"):
        raise BuildError(f"{DEVICE_VARIABLE} is {device!r}; set it to cpu, or unset it for the GPU that torch finds.")
    return device
