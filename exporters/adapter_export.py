"""The adapter of a model that was fine-tuned from a shared one: made from both checkpoints and the shared bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import external_data_helper, numpy_helper

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import MODEL_FILE
from contract.documents import AdapterFacts
from contract.progress import OnProgress
from exporters.adapter_file import CODE_LIMIT, MOST_RANK, Change, FloatArray, merged, read_adapter, write_adapter
from exporters.checkpoint_reader import Checkpoint
from exporters.precision import column_codes
from exporters.rotation import RotatedCheckpoint

SPARE: Final = 8  # more random directions than the rank, so that the right ones are found
MOST_FOREIGN_CODES: Final = 0.01  # machines round a code in some thousands otherwise
PARTS: Final = ("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, kw_only=True)
class SharedModel:
    """The model that a fine-tuning began with, and its bundle in int8."""

    folder: Path  # the checkpoint
    bundle: Bundle
    rank: int  # what the fine-tunings since have added to a projection at most; the rest is rounding to bfloat16


def has_room(shared: SharedModel) -> bool:
    """Whether an adapter may have the rank of all fine-tunings since the shared model."""
    return max(len(names) for _, names in _projections(0)) * shared.rank <= MOST_RANK


def write_adapted(
    graph: Path,
    adapter: Path,
    shared: SharedModel,
    checkpoint: Checkpoint,
    on_layer: OnProgress,
) -> AdapterFacts | None:
    """Write an adapter and the int8 graph that it makes; return what the manifest says of it.

    `checkpoint` is the fine-tuned model, in the basis of training; `on_layer` gets (layers done, of all). Returns None,
    and writes nothing, if there can be no adapter: where more than the layers' projections differs, nothing does, the
    bundle is another model's, its graph has 2 GB or more, or there were too many fine-tunings.
    """
    if not has_room(shared):
        return None
    first = Checkpoint(shared.folder)
    names = [name for layer in range(first.shape.layers) for pair in _projections(layer) for name in pair[1]]
    if first.shape != checkpoint.shape or not _same_but_for(first, checkpoint, set(names)):
        return None
    changes = _changes(shared, RotatedCheckpoint(shared.folder), RotatedCheckpoint(checkpoint.folder), on_layer)
    if not changes:
        return None
    write_adapter(adapter, changes)
    source = shared.bundle.model_path
    graph.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file, graph.open("wb") as target:
        for piece in merged(file, read_adapter(adapter, source.stat().st_size)):
            target.write(piece)
    return AdapterFacts(file=adapter.name, shared=shared.bundle.manifest["files"][MODEL_FILE])


def _changes(shared: SharedModel, first: Checkpoint, last: Checkpoint, on_layer: OnProgress) -> Mapping[str, Change]:
    """Return what differs, by matrix; nothing if the bundle is not that of the checkpoint `first`."""
    content = shared.bundle.model_path.read_bytes()
    stored = {one.name: one for one in onnx.load_model_from_string(content).graph.initializer}
    if any(external_data_helper.uses_external_data(one) for one in stored.values()):  # of 2 GB or more
        return {}
    changes: dict[str, Change] = {}
    for layer in range(first.shape.layers):
        for matrix, names in _projections(layer):
            if matrix not in stored or f"{matrix}.scale" not in stored:
                return {}
            codes = numpy_helper.to_array(stored[matrix])  # (inputs, outputs)
            scales = numpy_helper.to_array(stored[f"{matrix}.scale"])[:, None]
            before = first.read(*names)
            if codes.dtype != np.int8 or codes.shape != before.shape[::-1] or scales.shape[0] != len(before):
                return {}
            if np.mean(codes != column_codes(before, scales[:, 0])) > MOST_FOREIGN_CODES:
                return {}
            change = (last.read(*names) - before) / scales
            if change.any():
                changes[matrix] = _thin(change, content.index(codes.tobytes()), len(names) * shared.rank)
        on_layer(layer + 1, first.shape.layers)
    return changes


def _thin(change: FloatArray, offset: int, rank: int) -> Change:
    """Return the nearest product of two matrices of a rank to `change` (outputs, inputs), in eight bits each.

    By a randomized singular value decomposition (Halko, Martinsson and Tropp 2011).
    """
    count = min(rank + SPARE, *change.shape)
    directions = np.random.default_rng(0).standard_normal((change.shape[1], count)).astype(np.float32)
    basis = np.linalg.qr(change @ directions)[0]
    basis = np.linalg.qr(change @ (change.T @ basis))[0]
    left, strengths, right = np.linalg.svd(basis.T @ change, full_matrices=False)
    half = np.sqrt(strengths[:rank])
    outs, out_scales = _eight_bits((basis @ left[:, :rank]).T * half[:, None])
    ins, in_scales = _eight_bits(right[:rank] * half[:, None])
    return Change(offset=offset, ins=ins, in_scales=in_scales, outs=outs, out_scales=out_scales)


def _eight_bits(factor: FloatArray) -> tuple[Any, FloatArray]:
    """Return codes of `factor` (rank, columns) and a scale for each column."""
    scales = (np.abs(factor).max(axis=0) / np.float32(CODE_LIMIT)).astype(np.float32)
    codes = np.rint(factor / np.maximum(scales, np.finfo(np.float32).tiny)).astype(np.int8)
    return codes, scales


def _projections(layer: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of a layer's matrices in the graph, and of the tensors that each is stacked from."""
    prefix = f"model.layers.{layer}"
    yield f"{prefix}.self_attn.qkv_proj.weight", [f"{prefix}.self_attn.{part}_proj.weight" for part in "qkv"]
    for part in PARTS:
        yield f"{prefix}.{part}.weight", [f"{prefix}.{part}.weight"]


def _same_but_for(first: Checkpoint, last: Checkpoint, projections: set[str]) -> bool:
    """Return whether two checkpoints agree in every tensor that is no projection of a layer."""
    names = first.names - projections
    if names != last.names - projections:
        return False
    return all(np.array_equal(first.read(name), last.read(name)) for name in names)
