"""Adapters: what a merged file holds, that it is the same everywhere, and which adapters are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file

from contract.errors import BundleError
from exporters.adapter_export import _thin
from exporters.adapter_file import ADAPTER_FILE, Change, merged, read_adapter, write_adapter

INPUTS, OUTPUTS, RANK, OFFSET = 48, 40, 3, 100
GRAPH_BYTES = 5000


def make_change(offset: int = OFFSET, seed: int = 0) -> Change:
    rng = np.random.default_rng(seed)

    def codes(*shape: int) -> Any:
        return rng.integers(-127, 128, shape).astype(np.int8)

    return Change(
        offset=offset,
        ins=codes(RANK, INPUTS),
        in_scales=rng.random(INPUTS, dtype=np.float32) / np.float32(100),
        outs=codes(RANK, OUTPUTS),
        out_scales=rng.random(OUTPUTS, dtype=np.float32) / np.float32(100),
    )


def make_graph() -> bytes:
    return np.random.default_rng(9).integers(-100, 100, GRAPH_BYTES).astype(np.int8).tobytes()


def merge(graph: bytes, *changes: Change) -> bytes:
    return b"".join(merged(io.BytesIO(graph), changes))


def codes_of(content: bytes) -> Any:
    return np.frombuffer(content, np.int8, INPUTS * OUTPUTS, OFFSET).reshape(INPUTS, OUTPUTS).astype(np.float64)


def test_a_merged_file_holds_the_rounded_sum_and_nothing_else_changes() -> None:
    change, graph = make_change(), make_graph()
    content = merge(graph, change)
    assert len(content) == len(graph)
    assert (content[:OFFSET], content[change.end :]) == (graph[:OFFSET], graph[change.end :])
    added = (change.ins.T.astype(np.float64) * change.in_scales[:, None]) @ (change.outs * change.out_scales)
    wanted = (codes_of(graph) + added).clip(-127, 127)
    assert np.abs(added).max() > 2
    assert np.abs(codes_of(content) - wanted).max() <= 1.0001  # half a step by the dither, half by rounding


def test_a_tenth_of_a_step_arrives_on_average() -> None:
    """Rounding alone would lose it."""
    change = make_change()
    ones = np.ones((1, INPUTS), np.int8), np.ones((1, OUTPUTS), np.int8)
    tenth = np.full(INPUTS, 0.1, np.float32)
    change = replace(change, ins=ones[0], outs=ones[1], in_scales=tenth, out_scales=np.ones(OUTPUTS, np.float32))
    graph = make_graph()
    moved = codes_of(merge(graph, change)) - codes_of(graph)
    assert set(np.unique(moved)) == {0, 1}
    assert 0.07 < moved.mean() < 0.13


def test_a_sum_beyond_8_bits_is_the_largest_code_of_its_sign() -> None:
    change = make_change()
    change = replace(change, in_scales=change.in_scales * 1000)
    added = (change.ins.T.astype(np.float64) * change.in_scales[:, None]) @ (change.outs * change.out_scales)
    is_beyond = np.abs(added) > 300
    assert is_beyond.any()
    assert (codes_of(merge(make_graph(), change))[is_beyond] == 127 * np.sign(added[is_beyond])).all()


def test_where_nothing_is_added_the_codes_stay() -> None:
    change = replace(make_change(), in_scales=np.zeros(INPUTS, np.float32))
    assert merge(make_graph(), change) == make_graph()


def test_the_merged_bytes_are_these_on_every_machine_and_in_every_version() -> None:
    """A build writes their hash down, and another machine must come to the same."""
    digest = hashlib.sha256(merge(make_graph(), make_change(), make_change(3000, seed=1))).hexdigest()
    assert digest == "9e0f9070e3190330ba05f7949e7cd3161404726a2478c69f1b1b9c9610600636"


@pytest.mark.parametrize("trainings", [1, 5])
def test_all_that_a_row_of_fine_tunings_has_added_is_kept(trainings: int) -> None:
    """Rounding to bfloat16 leaves noise in every direction; the later factors are no stronger than the first."""
    rng, rank = np.random.default_rng(0), 16
    learned = np.zeros((200, 160))
    for _ in range(trainings):
        outs, ins = (np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in learned.shape)
        learned += 10 * (outs * 0.85 ** np.arange(rank)) @ ins.T
    noise = rng.standard_normal(learned.shape) * 0.002
    change = _thin((learned + noise).astype(np.float32), 0, rank * trainings)
    kept = (change.outs * change.out_scales).T.astype(np.float64) @ (change.ins * change.in_scales)
    assert np.square(kept - learned).sum() < 0.002 * np.square(learned).sum()


def test_an_adapter_is_read_as_it_was_written_in_the_order_of_the_file(tmp_path: Path) -> None:
    later, first = make_change(3000, seed=1), make_change()
    # As a transposed product comes out of numpy: written as it lies in memory, it would be another matrix.
    later = replace(later, outs=np.asfortranarray(later.outs))
    for name in ("a", "b"):
        write_adapter(tmp_path / name, {"later": later, "first": first})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_adapter(tmp_path / "a", GRAPH_BYTES)
    assert [one.offset for one in found] == [OFFSET, 3000]
    assert merge(make_graph(), *found) == merge(make_graph(), first, later)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_an_adapter_has_the_mode_of_other_files(tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter", {"first": make_change()})
    (tmp_path / "other").touch()
    assert (tmp_path / "adapter").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_graph_that_is_too_short_is_refused() -> None:
    with pytest.raises(BundleError, match="ends before"):
        merge(make_graph()[:50], make_change())


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change the tensors and the offsets of an adapter."""
    tensors, offsets = load_file(path), {"first": OFFSET, "later": 3000}
    change(tensors, offsets)
    save_file(tensors, path, metadata={"offsets": json.dumps(offsets)})


def put(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda tensors, offsets: tensors.update({key: value})


def place(name: str, offset: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda tensors, offsets: offsets.update({name: offset})


BROKEN: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], None], str]] = {
    "before the file": (place("first", -1), "another form"),
    "a fraction": (place("first", 1.5), "another form"),
    "true": (place("first", True), "another form"),
    "within another": (place("later", OFFSET + 1), "what the graph does not have"),
    "behind the file": (place("later", GRAPH_BYTES - 1), "what the graph does not have"),
    "of no tensor": (place("third", 0), "no adapter of this version"),
    "not a number": (put("first.in_scale", np.full(INPUTS, np.nan, np.float32)), "not finite"),
    "endless": (put("later.out_scale", np.full(OUTPUTS, np.inf, np.float32)), "not finite"),
    "floats": (put("first.in", np.zeros((RANK, INPUTS), np.float32)), "another form"),
    "another rank": (put("first.in", np.zeros((RANK + 1, INPUTS), np.int8)), "thin matrices"),
    "no rank": (put("first.in", np.zeros((0, INPUTS), np.int8)), "thin matrices"),
    "one dimension": (put("first.out", np.zeros(OUTPUTS, np.int8)), "thin matrices"),
    "too many scales": (put("first.out_scale", np.zeros(OUTPUTS + 1, np.float32)), "another size"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_adapter_that_is_none_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / ADAPTER_FILE
    write_adapter(path, {"first": make_change(), "later": make_change(3000, seed=1)})
    assert len(read_adapter(path, GRAPH_BYTES)) == 2
    change, words = BROKEN[name]
    rewrite(path, change)
    with pytest.raises(BundleError, match=words) as refusal:
        read_adapter(path, GRAPH_BYTES)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("metadata", [None, {"offsets": "[]"}, {"offsets": "{"}, {"offsets": "[" * 100_000}])
def test_metadata_that_is_none_is_refused(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"x": np.zeros(1, np.int8)}, tmp_path / ADAPTER_FILE, metadata=metadata)
    with pytest.raises(BundleError, match="no adapter of this version"):
        read_adapter(tmp_path / ADAPTER_FILE, GRAPH_BYTES)


def test_a_type_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    tensors = {"first.in": torch.zeros(1, dtype=torch.bfloat16)}
    save_torch_file(tensors, tmp_path / ADAPTER_FILE, metadata={"offsets": '{"first": 0}'})
    with pytest.raises(BundleError, match="no adapter of this version"):
        read_adapter(tmp_path / ADAPTER_FILE, GRAPH_BYTES)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(BundleError, match="no adapter of this version"):
        read_adapter(tmp_path / "text", GRAPH_BYTES)
    with pytest.raises(BundleError, match="can't be read"):
        read_adapter(tmp_path / "missing", GRAPH_BYTES)
