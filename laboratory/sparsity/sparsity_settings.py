"""What a sparse sub-model is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contract.errors import BuildError
from laboratory.sparsity.methods import find_method
from laboratory.sparsity.target import Target


@dataclass(frozen=True, kw_only=True)
class SparsitySettings:
    """How the seven matrices of each layer are pruned; embeddings and head stay whole."""

    method: str = "wanda"
    sparsity: float = 0.5  # share of zeros, of the pruned matrices

    def __post_init__(self) -> None:
        find_method(self.method)
        target = Target(sparsity=self.sparsity)
        if target.sparsity == 0.0:
            raise BuildError("A sparsity of 0 prunes nothing; give a share of zeros such as 0.5.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings for keys and manifests."""
        return {"method": self.method, "sparsity": self.sparsity}
