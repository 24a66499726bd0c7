"""The plan: which tokens stay and how wide the layers become, decided before any weight changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.documents import PlanFacts
from contract.errors import BuildError

if TYPE_CHECKING:  # a size is checked before torch is imported, which takes seconds
    from transformers import PretrainedConfig, PreTrainedModel

    from builder.pruning.vocabulary import TokenOrder

WIDTH_STEP = 128  # fast kernels and 4-bit blocks ask for it, and every runtime takes it


@dataclass(frozen=True, kw_only=True)
class SizeSettings:
    """What the plan aims at."""

    size: float = 0.60  # share of the base's parameters
    least_token_share: float = 0.001  # of new files: a token that is expected in fewer may leave
    min_width_share: float = 0.25  # narrower layers are no longer the same model

    def __post_init__(self) -> None:
        if not 0.05 <= self.size <= 1.0:
            raise BuildError(f"--size {self.size:g} is out of range; give a share of the base's parameters, 0.05 to 1.")


@dataclass(frozen=True, kw_only=True)
class PrunePlan:
    """What is kept. `channels` is empty until the layers have been measured, then one ascending tuple a layer."""

    kept_token_ids: tuple[int, ...]  # ids of the base, ascending; the new id is the position
    width: int  # channels of each feed-forward layer
    parameters: int
    base_parameters: int
    channels: tuple[tuple[int, ...], ...] = ()

    @property
    def share(self) -> float:
        """Parameters of the sub-model over those of the base."""
        return self.parameters / self.base_parameters

    def summary(self, config: PretrainedConfig) -> PlanFacts:
        """How the size is reached, for people and manifests; `config` is the base's."""
        return {
            "parameters": self.parameters,
            "share_of_base": round(self.share, 4),
            "vocabulary": {"base": config.vocab_size, "kept": len(self.kept_token_ids)},
            "feed_forward_width": {"base": config.intermediate_size, "kept": self.width},
            "layers": config.num_hidden_layers,
        }


def count_parameters(model: PreTrainedModel) -> int:
    """Parameters of a model, a tied head counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """Parameters by what they depend on: `fixed`, and those of a token (`row`) and of a channel (`column`)."""

    base: int
    fixed: int
    row: int
    column: int
    least_width: int

    def least(self, tokens: int) -> float:
        """The smallest share of the base that a plan with so many tokens can have."""
        return (self.fixed + tokens * self.row + self.least_width * self.column) / self.base


def _costs_of(model: PreTrainedModel, settings: SizeSettings) -> _Costs:
    config = model.config
    base = count_parameters(model)
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    row = config.hidden_size * (1 if is_tied else 2)
    column = 3 * config.hidden_size * config.num_hidden_layers  # one channel in every layer
    return _Costs(
        base=base,
        fixed=base - config.vocab_size * row - config.intermediate_size * column,
        row=row,
        column=column,
        least_width=-(-int(config.intermediate_size * settings.min_width_share) // WIDTH_STEP) * WIDTH_STEP,
    )


def plan_size(model: PreTrainedModel, settings: SizeSettings, order: TokenOrder) -> PrunePlan:
    """Reach `settings.size`: first the vocabulary down to what is likely, then the widest layers that fit.

    Tokens that no code of the repository is likely to use cost nothing on it, so they go first; what the width's step
    of 128 leaves over goes back to the vocabulary. At the least width likely tokens go too. Raises BuildError where the
    size is too small to be reached, with the least that can be.
    """
    config = model.config
    costs = _costs_of(model, settings)
    budget = int(settings.size * costs.base)
    room = (budget - costs.fixed - order.likely * costs.row) // costs.column
    width = config.intermediate_size if room >= config.intermediate_size else room // WIDTH_STEP * WIDTH_STEP
    width = max(width, costs.least_width)
    limit = (budget - costs.fixed - width * costs.column) // costs.row
    if limit < order.used:
        least = math.ceil(100 * costs.least(order.used)) / 100
        raise BuildError(
            f"--size {settings.size:g} can't be reached with this base and repository: the least is {least:.2f} "
            f"({order.used:,} tokens, {width} channels a layer); ask for at least that."
        )
    kept = order.first(limit)
    parameters = costs.fixed + len(kept) * costs.row + width * costs.column
    return PrunePlan(kept_token_ids=tuple(kept), width=width, parameters=parameters, base_parameters=costs.base)
