"""An adapter: a small file that makes the int8 graph of a fine-tuned model from the graph of the model it began with.

A fine-tuning adds a product of two thin matrices to each weight. The adapter has these in eight bits, and says where in
the shared graph's file the codes of each matrix begin. It has some 8 MB where the graph has 330.

The merged file is the same on every machine, byte for byte. Sums of so few products of small integers are exact in
float32, and each other step is one operation of IEEE 754. Most weights change by less than a quantization step, so that
rounding alone would give back the shared codes. A pseudo-random number between −½ and ½ is therefore added first
(dither): a weight that changes by a tenth of a step gets another code in one case of ten (dev/LOG.md has the loss).

This module imports nothing heavy, since a laptop merges with the core install.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from contract.errors import BundleError

ADAPTER_FILE: Final = "adapter.safetensors"
CODE_LIMIT: Final = 127
MOST_RANK: Final = 1024  # 1024 · 127² < 2²⁴: sums are exact
MOST_MATRICES: Final = 1 << 14
SEED: Final = 0  # of the dither
STEP_CODES: Final = 1 << 22  # codes that are merged at a time, and that share a piece of the dither
CHUNK_BYTES: Final = 1 << 20
_OFFSETS: Final = "offsets"  # one key: safetensors writes several in any order
_PARTS: Final = {"in": np.int8, "in_scale": np.float32, "out": np.int8, "out_scale": np.float32}

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is added to one matrix of codes (inputs, outputs): (`ins`ᵀ · in_scales) @ (`outs` · out_scales)."""

    offset: int  # of its first code in the graph's file
    ins: NDArray[np.int8]  # (rank, inputs)
    in_scales: FloatArray  # (inputs,)
    outs: NDArray[np.int8]  # (rank, outputs)
    out_scales: FloatArray  # (outputs,), in quantization steps of the shared graph

    @property
    def end(self) -> int:
        """Where the codes end in the graph's file."""
        return self.offset + len(self.in_scales) * len(self.out_scales)


def write_adapter(path: Path, changes: Mapping[str, Change]) -> None:
    """Write `changes` by the names of their matrices. The same changes give the same bytes."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, change in changes.items():
        parts = (change.ins, change.in_scales, change.outs, change.out_scales)
        # safetensors writes an array's memory as it lies, whatever its order.
        tensors |= {f"{name}.{part}": np.ascontiguousarray(one) for part, one in zip(_PARTS, parts, strict=True)}
    offsets = {name: change.offset for name, change in changes.items()}
    # Not safetensors' save_file, whose files have the mode 0600 whatever the umask.
    path.write_bytes(save(tensors, metadata={_OFFSETS: json.dumps(offsets)}))


def read_adapter(path: Path, graph_bytes: int) -> list[Change]:
    """Return the changes of an adapter, in the order of their places in a graph's file of `graph_bytes`.

    Raises BundleError unless every change is finite, in its place, and apart from the others.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            offsets = json.loads((file.metadata() or {})[_OFFSETS])
            if not isinstance(offsets, dict) or len(offsets) > MOST_MATRICES:
                raise ValueError("it has no list of matrices")
            changes = [_read_change(file, name, offset) for name, offset in offsets.items()]
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror or error}).") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:  # TypeError: bfloat16
        raise BundleError(f"{path} is no adapter of this version ({error}); fetch or build it again.") from error
    changes.sort(key=lambda change: change.offset)
    ends = [0, *(change.end for change in changes)]
    if any(change.offset < end for change, end in zip(changes, ends, strict=False)) or ends[-1] > graph_bytes:
        raise BundleError(f"{path} changes what the graph does not have; fetch or build it again.")
    return changes


def merged(graph: IO[bytes], changes: Sequence[Change]) -> Iterator[bytes]:
    """Yield the merged graph's file piece by piece. `changes` are those of `read_adapter` for this graph."""
    dither = np.random.PCG64(SEED)
    at = 0
    for change in changes:
        yield from _copied(graph, change.offset - at)
        outputs = change.outs.shape[1]
        rows = max(1, STEP_CODES // outputs)
        outs = change.outs.astype(np.float32)
        for first in range(0, change.ins.shape[1], rows):
            part = slice(first, first + rows)
            sums = change.ins[:, part].T.astype(np.float32) @ outs
            sums *= change.out_scales
            sums *= change.in_scales[part, None]
            sums += np.frombuffer(graph.read(sums.size), np.int8).reshape(sums.shape)
            sums += _dither(dither, sums.size).reshape(sums.shape)
            yield np.rint(sums, out=sums).clip(-CODE_LIMIT, CODE_LIMIT).astype(np.int8).tobytes()
        at = change.end
    while piece := graph.read(CHUNK_BYTES):
        yield piece


def _dither(source: np.random.PCG64, count: int) -> FloatArray:
    """Return numbers (count,) between −½ and ½. They come from raw bits, which numpy promises to keep the same."""
    drawn = source.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count].astype(np.float32)
    return (drawn + np.float32(0.5)) / np.float32(256) - np.float32(0.5)


def _copied(graph: IO[bytes], count: int) -> Iterator[bytes]:
    while count:
        piece = graph.read(min(count, CHUNK_BYTES))
        if not piece:
            raise BundleError("The shared graph ends before the adapter's last matrix; fetch it again.")
        count -= len(piece)
        yield piece


def _read_change(file: Any, name: str, offset: object) -> Change:
    ins, in_scales, outs, out_scales = (file.get_tensor(f"{name}.{part}") for part in _PARTS)
    arrays = (ins, in_scales, outs, out_scales)
    if [array.dtype for array in arrays] != list(_PARTS.values()) or type(offset) is not int or offset < 0:
        raise ValueError(f"{name[:80]!r} has another form")
    if ins.ndim != 2 or outs.ndim != 2 or not 1 <= len(ins) == len(outs) <= MOST_RANK or not ins.size or not outs.size:
        raise ValueError(f"{name[:80]!r} is no pair of thin matrices")
    if in_scales.shape != ins.shape[1:] or out_scales.shape != outs.shape[1:]:
        raise ValueError(f"{name[:80]!r} has scales of another size")
    if not (np.isfinite(in_scales).all() and np.isfinite(out_scales).all()):
        raise ValueError(f"{name[:80]!r} holds a number that is not finite")
    return Change(offset=offset, ins=ins, in_scales=in_scales, outs=outs, out_scales=out_scales)
