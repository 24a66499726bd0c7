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
    owl_multiple: float = 5.0  # of the mean score: what an outlier exceeds (Yin et al., OWL, section 4)
    owl_spread: float = 0.08  # half of what may lie between two layers' shares, likewise

    def __post_init__(self) -> None:
        find_method(self.method)
        target = Target(sparsity=self.sparsity, pattern=self.pattern)
        if target.sparsity == 0.0:
            raise BuildError("A sparsity of 0 prunes nothing; give a share of zeros such as 0.5.")
        if self.owl and self.pattern is not None:
            raise BuildError("A pattern gives every layer the same share of zeros; leave out --pattern or --owl.")

    def to_json(self) -> dict[str, Any]:
        """For keys and manifests; what decides nothing is absent."""
        document: dict[str, Any] = {"method": self.method, "sparsity": self.sparsity}
        if self.pattern is not None:
            document["pattern"] = str(self.pattern)
        if self.owl:
            document["owl"] = {"multiple": self.owl_multiple, "spread": self.owl_spread}
        return document


def resolve_sparsity(sparsity: float | None, pattern: GroupPattern | None) -> float:
    """The share of zeros that was asked for: the pattern's where there is one, else one half where none was given."""
    if pattern is not None:
        return pattern.sparsity if sparsity is None else sparsity
    return SparsitySettings.sparsity if sparsity is None else sparsity
