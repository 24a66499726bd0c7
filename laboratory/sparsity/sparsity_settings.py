"""What a sparse sub-model is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract.errors import BuildError
from laboratory.sparsity.methods import find_method
from laboratory.sparsity.pattern import GroupPattern, Target


@dataclass(frozen=True, kw_only=True)
class SparsitySettings:
    """How the seven matrices of each layer are pruned; embeddings and head stay whole."""

    method: str = "wanda"
    sparsity: float = 0.5  # share of zeros, of the pruned matrices
    pattern: GroupPattern | None = None  # its share of zeros has to be `sparsity`
    owl: bool = False  # unequal over the layers, `sparsity` on average
    owl_multiple: float = 5.0  # an outlier exceeds so many times the mean score (Yin et al., OWL, section 4)
    owl_spread: float = 0.08  # half of the largest difference between two layers' shares (same section)

    def __post_init__(self) -> None:
        find_method(self.method)
        target = Target(sparsity=self.sparsity, pattern=self.pattern)
        if target.sparsity == 0.0:
            raise BuildError("A sparsity of 0 prunes nothing; give a share of zeros such as 0.5.")
        if self.owl and self.pattern is not None:
            raise BuildError("A pattern gives every layer the same share of zeros; leave out --pattern or --owl.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings for keys and manifests, without those that have no effect."""
        document: dict[str, Any] = {"method": self.method, "sparsity": self.sparsity}
        if self.pattern is not None:
            document["pattern"] = str(self.pattern)
        if self.owl:
            document["owl"] = {"multiple": self.owl_multiple, "spread": self.owl_spread}
        return document


def resolve_sparsity(sparsity: float | None, pattern: GroupPattern | None) -> float:
    """Return the share of zeros that was asked for; by default the pattern's, without a pattern one half."""
    if pattern is not None:
        return pattern.sparsity if sparsity is None else sparsity
    return SparsitySettings.sparsity if sparsity is None else sparsity
