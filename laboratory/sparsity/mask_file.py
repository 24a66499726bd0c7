"""Masks on disk: one bit a weight, in a safetensors file, which holds no code.

A tensor has the name of its matrix, such as `layers.3.mlp.up_proj`. It is uint8, (outputs, ⌈inputs / 8⌉), with the
first weight in the highest bit; a bit is one if the weight stays. The file's metadata gives the number of inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from contract.errors import BuildError
from contract.files.untrusted_json import parse_json
from laboratory.sparsity.walk import SparseLayer

MASKS: Final = "masks.safetensors"
_FORMAT: Final = "submodel-masks-1"


def mask_name(layer: int, matrix: str) -> str:
    """Return the name of a matrix in the file."""
    return f"layers.{layer}.{matrix}"


def masks_of(layers: tuple[SparseLayer, ...]) -> dict[str, torch.Tensor]:
    """Return all masks of a pass over the layers, by their names."""
    return {mask_name(index, matrix): kept for index, layer in enumerate(layers) for matrix, kept in layer.kept.items()}


def write_masks(path: Path, masks: Mapping[str, torch.Tensor]) -> None:
    """Write masks, each bool (outputs, inputs)."""
    packed = {name: np.packbits(kept.numpy(), axis=1) for name, kept in masks.items()}
    inputs = {name: kept.shape[1] for name, kept in masks.items()}
    save_file(packed, path, metadata={_FORMAT: json.dumps(inputs)})  # one entry: several come in any order


class MaskFile:
    """The masks of a file, read one at a time; raises BuildError if the file holds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = cast(Any, safe_open(path, framework="numpy"))
            metadata = self._file.metadata() or {}
            names = set(self._file.keys())
        except (OSError, SafetensorError) as error:
            raise BuildError(f"{path} can't be read ({error}); run `submodel-lab prune` again.") from error
        if _FORMAT not in metadata:
            raise BuildError(f"{path} holds no masks that this version knows; run `submodel-lab prune` again.")
        try:
            inputs = parse_json(metadata[_FORMAT])
        except ValueError as error:
            raise BuildError(f"{path} is damaged ({error}); run `submodel-lab prune` again.") from error
        if not isinstance(inputs, dict) or not all(type(width) is int and width > 0 for width in inputs.values()):
            raise BuildError(f"{path} is damaged; run `submodel-lab prune` again.")
        self._inputs: dict[str, int] = inputs
        if names != set(self._inputs):
            raise BuildError(f"{path} is damaged; run `submodel-lab prune` again.")

    @property
    def names(self) -> tuple[str, ...]:
        """The matrices' names, in the order in which they were written."""
        return tuple(self._inputs)

    def read(self, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return one mask: bool, (outputs, inputs). Raises BuildError if the tensor is no mask."""
        packed, width = self._file.get_tensor(name), self._inputs[name]
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-width // 8):
            raise BuildError(f"{self._path} is damaged; run `submodel-lab prune` again.")
        return np.unpackbits(packed, axis=1, count=width).astype(np.bool_)
