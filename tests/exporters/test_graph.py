from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from exporters import graph as graph_module
from exporters.checkpoint_reader import Checkpoint
from exporters.graph import build_graph, rotary_tables, save_graph
from exporters.parity import DecodeSession
from exporters.precision import Precision
from exporters.rotation import RotatedCheckpoint

TOLERANCE = 1e-4  # of logits of up to 10: rounding gives 1e-5
IDS = np.random.default_rng(0).integers(0, 261, 40).tolist()


@pytest.fixture
def session(any_folder: Path, tmp_path: Path) -> DecodeSession:
    """The float32 graph of each kind of model."""
    return open_session(any_folder, tmp_path / "model.onnx", Precision.FP32)


@pytest.fixture
def expected(any_folder: Path) -> NDArray[np.float32]:
    """What transformers says of IDS: logits (40, 261)."""
    model = AutoModelForCausalLM.from_pretrained(any_folder).eval()
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(torch.tensor([IDS])).logits[0].numpy()
    return logits


def open_session(folder: Path, path: Path, precision: Precision, basis: type[Checkpoint] = Checkpoint) -> DecodeSession:
    checkpoint = basis(folder)
    save_graph(build_graph(checkpoint, precision), path)
    return DecodeSession(path, checkpoint.shape)


def test_prompt_agrees_with_transformers(session: DecodeSession, expected: NDArray[np.float32]) -> None:
    logits, _ = session.run(IDS, session.empty_past())
    assert np.abs(expected).max() > 3  # or the tolerance says nothing
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_past_of_exact_length_agrees(session: DecodeSession, expected: NDArray[np.float32]) -> None:
    """A prompt, then some tokens together, then one at a time."""
    past = session.empty_past()
    for start, end in ((0, 20), (20, 27), *((i, i + 1) for i in range(27, 40))):
        logits, past = session.run(IDS[start:end], past)
        np.testing.assert_allclose(logits, expected[start:end], atol=TOLERANCE)
        assert past["past_key_values.1.value"].shape == (1, 2, end, session.shape.head_dim)


def test_past_and_present_in_one_buffer_agree(session: DecodeSession, expected: NDArray[np.float32]) -> None:
    """The engine's way: bound once, rolled back by passing a smaller length."""
    empty = np.full((1, 2, 64, session.shape.head_dim), 7, np.float32)
    buffers = {name: ort.OrtValue.ortvalue_from_numpy(empty.copy()) for name in session.empty_past()}
    ort_session = session.session

    def run(start: int, end: int, ids: list[int]) -> NDArray[np.float32]:
        binding = ort_session.io_binding()
        binding.bind_cpu_input("input_ids", np.array([ids], np.int64))
        binding.bind_cpu_input("attention_mask", np.ones((1, end), np.int64))
        keep = ort.OrtValue.ortvalue_from_numpy(np.array([2], np.int64))
        binding.bind_ortvalue_input("num_logits_to_keep", keep)
        binding.bind_output("logits")
        for name, buffer in buffers.items():
            binding.bind_ortvalue_input(name, buffer)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), buffer)
        ort_session.run_with_iobinding(binding)
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()[0]
        return logits

    np.testing.assert_allclose(run(0, 20, IDS[:20]), expected[18:20], atol=TOLERANCE)
    run(20, 30, IDS[30:40])  # a wrong turn
    np.testing.assert_allclose(run(20, 25, IDS[20:25]), expected[23:25], atol=TOLERANCE)
    for i in range(25, 30):
        np.testing.assert_allclose(run(i, i + 1, IDS[i : i + 1]), expected[i : i + 1], atol=TOLERANCE)


@pytest.mark.parametrize("keep", [1, 3, 40, 1000])
def test_logits_of_the_last_positions_only(session: DecodeSession, expected: NDArray[np.float32], keep: int) -> None:
    logits, past = session.run(IDS, session.empty_past(), keep=keep)
    assert logits.shape == (min(keep, 40), 261)
    np.testing.assert_allclose(logits, expected[-keep:], atol=TOLERANCE)
    logits, _ = session.run(IDS[:1], past, keep=1)  # the cache is whole, whatever was kept
    all_logits, _ = session.run([*IDS, IDS[0]], session.empty_past())
    np.testing.assert_allclose(logits[0], all_logits[-1], atol=TOLERANCE)


def test_batch_of_equal_lengths_agrees(session: DecodeSession, expected: NDArray[np.float32]) -> None:
    past = {name: np.zeros((2, 2, 0, session.shape.head_dim), np.float32) for name in session.empty_past()}
    feeds = {"input_ids": np.array([IDS[:10], IDS[10:20]]), "attention_mask": np.ones((2, 10), np.int64), **past}
    logits = session.session.run(["logits"], feeds)[0]
    np.testing.assert_allclose(logits[0], expected[:10], atol=TOLERANCE)


def test_a_prompt_padded_on_the_left_gets_other_logits(session: DecodeSession, expected: NDArray[np.float32]) -> None:
    """A limit of GroupQueryAttention, which docs/runtimes.md states: it counts from the first column."""
    past = {name: np.zeros((2, 2, 0, session.shape.head_dim), np.float32) for name in session.empty_past()}
    mask = np.array([[1] * 10, [0] * 3 + [1] * 7])
    logits = session.session.run(
        ["logits"], {"input_ids": np.array([IDS[:10], [0] * 3 + IDS[:7]]), "attention_mask": mask, **past}
    )[0]
    np.testing.assert_allclose(logits[0], expected[:10], atol=TOLERANCE)
    assert np.abs(logits[1, 3:] - expected[:7]).max() > 100 * TOLERANCE


def test_other_runtimes_see_plain_inputs(session: DecodeSession) -> None:
    """They ask for the names, and read the heads from the cache's shape."""
    inputs = {value.name: value.shape for value in session.session.get_inputs()}
    assert list(inputs)[:2] == ["input_ids", "attention_mask"]
    assert "num_logits_to_keep" not in inputs
    assert [value.name for value in session.session.get_overridable_initializers()] == ["num_logits_to_keep"]
    for name in list(inputs)[2:]:
        assert (inputs[name][1], inputs[name][3]) == (2, session.shape.head_dim)
        assert all(isinstance(inputs[name][axis], str) for axis in (0, 2))
    assert session.session.get_outputs()[0].name == "logits"


@pytest.mark.parametrize("basis", [Checkpoint, RotatedCheckpoint])
def test_int8_agrees_roughly_and_is_small(
    any_folder: Path, tmp_path: Path, expected: NDArray[np.float32], basis: type[Checkpoint]
) -> None:
    session = open_session(any_folder, tmp_path / "model.onnx", Precision.INT8, basis)
    logits, past = session.run(IDS[:30], session.empty_past())
    steps, _ = session.run(IDS[30:], past)
    error = np.abs(np.concatenate([logits, steps]) - expected).mean()
    assert 1e-4 < error < 0.1 * np.abs(expected).mean()
    weights = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_pretrained(any_folder).parameters())
    rotary = 2 * 2048 * session.shape.head_dim // 2 * 4
    assert (tmp_path / "model.onnx").stat().st_size < 1.2 * weights + rotary + 20_000


@pytest.mark.parametrize("precision", list(Precision))
def test_each_tensor_is_read_once(any_folder: Path, tmp_path: Path, precision: Precision) -> None:
    readings: list[None] = []
    checkpoint = Checkpoint(any_folder, lambda: readings.append(None))
    save_graph(build_graph(checkpoint, precision), tmp_path / "model.onnx")
    has_own_head = precision is Precision.INT8 and checkpoint.shape.is_tied  # whose codes lie by columns
    assert len(readings) == len(checkpoint.names) + has_own_head


def test_large_models_keep_weights_beside_and_constants_inside(
    model_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "INLINE_LIMIT_BYTES", 100_000)
    folder = model_folder("qwen2-tied")
    session = open_session(folder, tmp_path / "model.onnx", Precision.FP32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx_data"]
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        is_outside = tensor.data_location == onnx.TensorProto.EXTERNAL
        assert is_outside == (4 * np.prod(tensor.dims) >= 1024), tensor.name
    monkeypatch.undo()
    inside = open_session(folder, tmp_path / "inside.onnx", Precision.FP32)
    assert not (tmp_path / "inside.onnx_data").exists()
    for outside, wanted in zip(
        session.run(IDS, session.empty_past())[0], inside.run(IDS, inside.empty_past())[0], strict=True
    ):
        np.testing.assert_array_equal(outside, wanted)
    del session  # Windows removes no file that is open
    save_graph(build_graph(Checkpoint(folder), Precision.INT8), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx_data").exists()


def test_rotary_tables_by_their_definition(model_folder: Callable[[str], Path]) -> None:
    shape = Checkpoint(model_folder("llama-tied")).shape
    cosines, sines = rotary_tables(shape)
    assert cosines.shape == (2048, 8)
    for position, pair in ((0, 0), (1, 0), (100, 3), (2047, 7)):
        angle = position * 54321.0 ** (-2 * pair / 16)
        assert cosines[position, pair] == pytest.approx(np.cos(angle), abs=2e-4)
        assert sines[position, pair] == pytest.approx(np.sin(angle), abs=2e-4)
