"""A rotated basis for the residual stream, in which activations have no outliers and quantize more finely.

A few channels of the residual stream are far larger than the rest, in every token. They set the scale of a row, so that
the others have only a few steps. An orthogonal R spreads them over all channels:

    embedding' = E·R    q, k, v, gate, up' = W·diag(g)·R    o, down' = Rᵀ·W    head' = H·diag(g)·R    gains' = 1

R keeps lengths, so RMSNorm is not affected: in exact arithmetic the model stays the same, and no step costs more
(R1 of SpinQuant, Liu et al. 2024; QuaRot, Ashkboos et al. 2024). Head and embedding are no longer one matrix, since
only the head takes the gain: the file grows by an embedding. The inputs of o and down are not rotated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from exporters.checkpoint_reader import EMBEDDING, FINAL_GAIN, HEAD, Checkpoint, FloatArray

SEED = 0  # any rotation works; a fixed one gives the same file again


class RotatedCheckpoint(Checkpoint):
    """A checkpoint that reads as if it had been trained in the rotated basis, with a separate head."""

    is_rotated = True

    def __init__(self, folder: Path, on_read: Callable[[], None] = lambda: None) -> None:
        super().__init__(folder, on_read)
        self._head = EMBEDDING if self.shape.is_tied else HEAD
        self._rotation = random_rotation(self.shape.hidden_size)
        self.shape = replace(self.shape, is_tied=False)

    def read(self, *names: str) -> FloatArray:
        """Read the named tensors, rotated; names that are read together have the same input."""
        first, *others = names
        if first.endswith("norm.weight"):
            return np.ones_like(super().read(first))
        if first.endswith(".bias"):
            return super().read(*names)
        if first.endswith(("o_proj.weight", "down_proj.weight")):
            return self._rotation.T @ super().read(*names)
        weight = super().read(self._head if first == HEAD else first, *others)
        if gain := _gain_before(first):
            weight = weight * super().read(gain)
        return weight @ self._rotation


def random_rotation(size: int) -> FloatArray:
    """Return a random orthogonal matrix (size, size), uniform over all of them."""
    q, r = np.linalg.qr(np.random.default_rng(SEED).standard_normal((size, size)))
    rotation: FloatArray = (q * np.sign(np.diag(r))).astype(np.float32)
    return rotation


def _gain_before(name: str) -> str | None:
    """Return the norm whose output the matrix of this name multiplies."""
    if name == EMBEDDING:
        return None
    if name == HEAD:
        return FINAL_GAIN
    layer, is_attention, _ = name.partition(".self_attn.")
    if is_attention:
        return f"{layer}.input_layernorm.weight"
    return f"{name.partition('.mlp.')[0]}.post_attention_layernorm.weight"
