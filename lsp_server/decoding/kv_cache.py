"""The keys and values of the tokens that the model has read, one buffer a layer that serves as past and as present.

GroupQueryAttention appends in place when both are bound to the same memory, so nothing is copied from step to step,
and rolling back is a matter of passing a smaller length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import IOBinding, OrtValue

GROWTH_POSITIONS = 512  # most prompts and their answers fit into the first; attention's scratch grows with the buffer

PAST = "past_key_values."  # before layer and kind, in the names of the graph's inputs


class KvCache:
    """Invariant: the first `len(tokens)` positions of every buffer belong to `tokens`; what lies behind is refuse."""

    def __init__(self, *, layers: int, kv_heads: int, head_dim: int, max_positions: int) -> None:
        self.tokens: list[int] = []
        self.number: type[np.float32 | np.float16] = np.float32
        self.device: str | None = None  # ONNX Runtime's name of an accelerator, whose memory then holds the buffers
        self.max_positions = max_positions
        self._names = [f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
        self._shape = (1, kv_heads, 0, head_dim)
        self._buffers: list[NDArray[np.floating[Any]]] = [np.zeros(self._shape, np.float32) for _ in self._names]
        self._on_device: list[OrtValue] = []

    @property
    def capacity(self) -> int:
        """Positions that the buffers have room for."""
        return self.max_positions if self._on_device else int(self._buffers[0].shape[2])

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        del self.tokens[count:]

    def reserve(self, positions: int) -> bool:
        """Make room for `positions` tokens in all; whether the buffers moved, so that they must be bound again."""
        if positions <= self.capacity:
            return False
        if self.device is not None:
            # At once in full, since an accelerator's memory can't be copied from here: 100 MB for half a billion
            # parameters in fp16 and 8,192 positions.
            _, kv_heads, _, head_dim = self._shape
            full = [1, kv_heads, self.max_positions, head_dim]
            self._on_device = [
                OrtValue.ortvalue_from_shape_and_type(full, self.number, self.device) for _ in self._names
            ]
            return True
        capacity = min(-(-positions // GROWTH_POSITIONS) * GROWTH_POSITIONS, self.max_positions)
        _, kv_heads, _, head_dim = self._shape
        for index, old in enumerate(self._buffers):
            # Zeros, not empty: the system then gives memory only to the pages that are written.
            new = np.zeros((1, kv_heads, capacity, head_dim), self.number)
            new[:, :, : len(self.tokens)] = old[:, :, : len(self.tokens)]
            self._buffers[index] = new
        return True

    def bind(self, binding: IOBinding) -> None:
        """Bind every buffer as its layer's past and present."""
        values = self._on_device or [OrtValue.ortvalue_from_numpy(buffer) for buffer in self._buffers]
        for name, value in zip(self._names, values, strict=True):
            binding.bind_ortvalue_input(f"{PAST}{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)
