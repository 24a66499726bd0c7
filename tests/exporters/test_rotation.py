from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from exporters.checkpoint_reader import Checkpoint
from exporters.graph import build_graph, save_graph
from exporters.parity import DecodeSession
from exporters.precision import Precision
from exporters.rotation import RotatedCheckpoint, random_rotation

IDS = np.random.default_rng(0).integers(0, 261, 40).tolist()


def logits_of(checkpoint: Checkpoint, path: Path, precision: Precision) -> np.ndarray:
    save_graph(build_graph(checkpoint, precision), path)
    session = DecodeSession(path, checkpoint.shape)
    return session.run(IDS, session.empty_past())[0]


def test_is_a_rotation() -> None:
    rotation = random_rotation(48)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(48), atol=1e-6)
    assert np.abs(rotation).max() < 0.8  # no channel is left to itself


def test_rotated_model_is_the_same_model(any_folder: Path, tmp_path: Path) -> None:
    with torch.inference_mode():
        expected = AutoModelForCausalLM.from_pretrained(any_folder).eval()(torch.tensor([IDS])).logits[0].numpy()
    found = logits_of(RotatedCheckpoint(any_folder), tmp_path / "model.onnx", Precision.FP32)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_only_what_no_norm_precedes_needs_a_scale_a_row(any_folder: Path) -> None:
    def maxima(checkpoint: Checkpoint) -> int:
        nodes = build_graph(checkpoint, Precision.INT8).graph
        return sum(node.op_type == "ReduceMax" for node in nodes)

    plain, rotated = Checkpoint(any_folder), RotatedCheckpoint(any_folder)
    assert maxima(rotated) == 2 * rotated.shape.layers  # o and down
    assert maxima(plain) == 4 * plain.shape.layers + 1  # qkv, gate and up as well, and the head


def test_outliers_in_the_residual_stream_cost_less(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A channel that is large in every token, as real models have several."""
    folder = Path(shutil.copytree(model_folder("llama-untied"), tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][:, 3] += 40
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    exact = logits_of(Checkpoint(folder), tmp_path / "exact.onnx", Precision.FP32)
    plain = logits_of(Checkpoint(folder), tmp_path / "plain.onnx", Precision.INT8)
    rotated = logits_of(RotatedCheckpoint(folder), tmp_path / "rotated.onnx", Precision.INT8)
    assert np.abs(rotated - exact).mean() < 0.7 * np.abs(plain - exact).mean()
