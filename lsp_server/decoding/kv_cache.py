"""The keys and values of the tokens that the model has read, one buffer a layer that serves as past and as present.

GroupQueryAttention appends in place if both are bound to the same memory. So nothing is copied from step to step, and
rolling back only passes a smaller length.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import IOBinding, OrtValue

from contract.errors import first_line
from contract.prompt import shared_prefix
from contract.runtime_errors import RUNTIME_ERRORS
from lsp_server.serve_errors import EngineCrash

GROWTH_POSITIONS = 512  # enough for most prompts with their answers; attention's scratch grows with the buffer

MAX_CACHES = 16  # choosing one compares the prompt with each
MAX_LOGITS_BYTES = 2 << 20  # in one cache: those after some sixteen tokens of a sub-model

# Of numpy, of the system, of the runtime.
_MEMORY_ERRORS: tuple[type[Exception], ...] = (MemoryError, OSError, *RUNTIME_ERRORS)

PAST = "past_key_values."  # before layer and kind, in the names of the graph's inputs


class KvCache:
    """Invariant: the first `len(tokens)` positions of every buffer belong to `tokens`; later positions hold garbage.

    It also keeps the logits after some of the last tokens, so that an answer to a prompt that ends there begins without
    a step of the model.
    """

    def __init__(self, *, layers: int, kv_heads: int, head_dim: int, max_positions: int) -> None:
        self.tokens: list[int] = []
        self.number: type[np.float32 | np.float16] = np.float32
        self.max_positions = max_positions
        self.moves = 0  # how often the buffers were replaced: what was bound before is gone
        self._written = 0  # positions of the buffers that were ever written: only their pages are in memory
        self._logits: dict[int, NDArray[np.float32]] = {}  # by the number of tokens before them
        self._names = [f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
        self._shape = (1, kv_heads, 0, head_dim)
        self._buffers: NDArray[np.floating[Any]] = np.zeros((len(self._names), *self._shape), np.float32)

    def empty(self) -> KvCache:
        """Return another cache for the same graph, which holds nothing."""
        other = KvCache(
            layers=len(self._names) // 2,
            kv_heads=self._shape[1],
            head_dim=self._shape[3],
            max_positions=self.max_positions,
        )
        other.number = self.number
        return other

    @property
    def capacity(self) -> int:
        """Positions that the buffers have room for."""
        return int(self._buffers.shape[3])

    @property
    def bytes(self) -> int:
        """Memory of what was written to the buffers."""
        return self.bytes_for(len(self.tokens))

    def bytes_for(self, positions: int) -> int:
        """Return the memory of the buffers once they hold `positions` tokens."""
        return max(self._written if positions <= self.capacity else 0, positions) * self._position_bytes

    def copy_start(self, other: KvCache, count: int) -> None:
        """Copy the first `count` tokens of another cache, and hold nothing else."""
        self.keep(0)
        self.reserve(count)
        self._buffers[..., :count, :] = other._buffers[..., :count, :]
        self.tokens = other.tokens[:count]
        self._logits = other._logits
        self.keep(count)  # which makes a dict of its own

    def keep(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        self._written = max(self._written, len(self.tokens))
        del self.tokens[count:]
        self._logits = {place: row for place, row in self._logits.items() if place <= count}

    def keep_logits(self, first: int, logits: NDArray[np.float32]) -> None:
        """Keep copies of the logits after `first` tokens, after one more, and so on; older ones make room.

        logits: (positions, vocabulary).
        """
        for place, row in enumerate(logits, first):
            self._logits.pop(place, None)  # the newest are last
            self._logits[place] = row.copy()
        while len(self._logits) > max(1, MAX_LOGITS_BYTES // logits[0].nbytes):
            del self._logits[next(iter(self._logits))]

    def logits_after(self, count: int) -> NDArray[np.float32] | None:
        """Return the logits after the first `count` tokens, (vocabulary,), if they are kept."""
        return self._logits.get(count)

    def reserve(self, positions: int) -> None:
        """Make room for `positions` tokens in all. Raises EngineCrash if there is no memory for them."""
        if positions <= self.capacity:
            return
        try:
            self._allocate(positions)
        except _MEMORY_ERRORS as error:
            raise EngineCrash(f"no memory for {positions} positions: {first_line(error)}") from error

    def _allocate(self, positions: int) -> None:
        self.moves += 1
        capacity = min(-(-positions // GROWTH_POSITIONS) * GROWTH_POSITIONS, self.max_positions)
        _, kv_heads, _, head_dim = self._shape
        shape = (len(self._names), 1, kv_heads, capacity, head_dim)
        memory = _pages(capacity * self._position_bytes)
        new: NDArray[np.floating[Any]] = np.ndarray(shape, self.number, buffer=memory)
        new[..., : len(self.tokens), :] = self._buffers[..., : len(self.tokens), :]
        self._buffers = new
        self._written = len(self.tokens)

    def bind(self, binding: IOBinding) -> None:
        """Bind every buffer as its layer's past and present."""
        for name, buffer in zip(self._names, self._buffers, strict=True):
            value = OrtValue.ortvalue_from_numpy(buffer)
            binding.bind_ortvalue_input(f"{PAST}{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)

    @property
    def _position_bytes(self) -> int:
        _, kv_heads, _, head_dim = self._shape
        return len(self._names) * kv_heads * head_dim * np.dtype(self.number).itemsize


def _pages(size: int) -> mmap.mmap:
    """Memory from the system: only pages that are written are given, and all is given back. The heap keeps holes."""
    if sys.platform == "win32":
        pages = mmap.mmap(-1, size)
    else:
        pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE)
    return pages


class KvMemory:
    """Caches of several places within `max_bytes`, so that going back to a place reads nothing again."""

    def __init__(self, first: KvCache, max_bytes: int) -> None:
        self._caches = [first]  # the last used is last
        self._max_bytes = max_bytes

    @property
    def bytes(self) -> int:
        """Memory of all caches."""
        return sum(cache.bytes for cache in self._caches)

    def __len__(self) -> int:
        return len(self._caches)

    def known(self, prompt_ids: Sequence[int]) -> int:
        """Return how many tokens of the prompt's start a cache holds."""
        return max(shared_prefix(cache.tokens, prompt_ids) for cache in self._caches)

    def take(self, prompt_ids: Sequence[int], positions: int) -> KvCache:
        """Return the cache for a prompt that will grow to `positions` tokens; it holds a start of the prompt.

        A prompt that shares at least half of a cache's tokens takes that cache. Any other prompt gets another cache,
        with a copy of what it shares: copying a token takes a thousandth of the time of reading it.
        """
        best = max(self._caches, key=lambda cache: shared_prefix(cache.tokens, prompt_ids))
        shared = shared_prefix(best.tokens, prompt_ids)
        if 2 * shared >= len(best.tokens):
            best.keep(shared)
            chosen = best
        else:
            chosen = next((cache for cache in self._caches if not cache.tokens), None) or best.empty()
            chosen.copy_start(best, shared)
        self._caches = [cache for cache in self._caches if cache is not chosen]
        wanted = chosen.bytes_for(positions)
        while self._caches and (self.bytes + wanted > self._max_bytes or len(self._caches) >= MAX_CACHES):
            del self._caches[0]
        self._caches.append(chosen)
        return chosen

    def clear(self) -> None:
        """Forget all tokens, and free all caches but the last one."""
        del self._caches[:-1]
        self._caches[-1].keep(0)
