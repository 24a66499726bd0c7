from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, Qwen2ForCausalLM

from builder.bases.folder_model import read_folder_model
from contract.errors import ExportError
from exporters.checkpoint_reader import MAX_POSITIONS, Checkpoint


@pytest.fixture
def folder(tmp_path: Path, model_folder: Callable[[str], Path]) -> Path:
    """A model's folder that a test may spoil."""
    return Path(shutil.copytree(model_folder("llama-untied"), tmp_path / "model"))


def change_config(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_reads_the_shape(folder: Path) -> None:
    change_config(folder, {"max_position_embeddings": 32768})
    shape = Checkpoint(folder).shape
    assert (shape.layers, shape.heads, shape.kv_heads, shape.head_dim, shape.ffn_width) == (2, 4, 2, 32, 128)
    assert shape.qkv_width == 8 * 32
    assert shape.max_positions == MAX_POSITIONS
    assert not shape.is_tied


@pytest.mark.parametrize("name", ["../shard.safetensors", "sub/shard.safetensors", "shard.bin", 7])
def test_an_index_that_names_another_file_than_one_beside_it_is_refused(folder: Path, name: object) -> None:
    tensors = load_file(folder / "model.safetensors")
    for copy in ("shard.safetensors", "shard.bin", "7"):
        shutil.copy(folder / "model.safetensors", folder / copy)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(tensors, name)}))
    with pytest.raises(ExportError, match=r"index\.json names .*, which is no safetensors file beside it"):
        Checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_reads_any_float_type_from_shards(
    tmp_path: Path, model_folder: Callable[[str], Path], dtype: torch.dtype
) -> None:
    model = Qwen2ForCausalLM.from_pretrained(model_folder("qwen2-tied"), dtype=dtype)
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    checkpoint = Checkpoint(tmp_path)
    attention = model.model.layers[1].self_attn
    for kind in ("weight", "bias"):
        names = [f"model.layers.1.self_attn.{part}_proj.{kind}" for part in "qkv"]
        expected = torch.cat([getattr(attention, f"{part}_proj").get_parameter(kind) for part in "qkv"])
        read = checkpoint.read(*names)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected.detach().float().numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"hidden_act": "gelu"}, "silu"),
        ({"use_sliding_window": True}, "sliding"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"num_key_value_heads": 3}, "does not divide"),
        ({"head_dim": 24}, "heads of 24, and ONNX Runtime attends with multiples of 16"),
        ({"num_hidden_layers": 3}, "lacks 9 tensors, first model.layers.2"),
        ({"num_hidden_layers": 1}, "does not know, first model.layers.1"),
        ({"intermediate_size": 64}, r"has the shape \(128, 64\), and config.json wants \(64, 64\)"),
        ({"hidden_size": "big"}, "hidden_size|big"),
        ({"vocab_size": None}, "lacks or misstates"),
        ({"model_type": None}, "names no model_type"),
    ],
)
def test_refuses_what_the_graph_does_not_do(folder: Path, change: dict[str, Any], message: str) -> None:
    change_config(folder, change)
    with pytest.raises(ExportError, match=message):
        Checkpoint(folder)


def test_reads_the_rotary_base_as_transformers_5_writes_it(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("rope_theta", None)
    rope = {"rope_theta": 54321.0}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    assert Checkpoint(folder).shape.rope_theta == 54321.0
    assert read_folder_model(folder, torch.float32).config.rope_theta == 54321.0
    both = config | {"rope_theta": 10000.0, "rope_scaling": None}
    (folder / "config.json").write_text(json.dumps(both | {"rope_parameters": rope}))
    assert Checkpoint(folder).shape.rope_theta == 54321.0
    scaled = rope | {"rope_type": "llama3", "factor": 8.0}
    for document in (config, both):
        (folder / "config.json").write_text(json.dumps(document | {"rope_parameters": scaled}))
        with pytest.raises(ExportError, match="rope_scaling"):
            Checkpoint(folder)


def test_accepts_default_rope_scaling_and_old_frequencies(folder: Path) -> None:
    change_config(folder, {"rope_scaling": {"rope_type": "default"}})
    change_tensors(folder, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}))
    assert Checkpoint(folder).shape.layers == 2


def test_refuses_tensors_that_would_be_left_out(folder: Path) -> None:
    change_tensors(folder, lambda t: t.update({"model.layers.0.self_attn.o_proj.bias": torch.ones(64)}))
    with pytest.raises(ExportError, match=r"first model\.layers\.0\.self_attn\.o_proj\.bias"):
        Checkpoint(folder)


def test_refuses_biases_in_some_places_only(folder: Path) -> None:
    change_tensors(folder, lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(64)}))
    with pytest.raises(ExportError, match="lacks 5 tensors"):
        Checkpoint(folder)


def test_refuses_damaged_files(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    for damaged in (data[:1000], data[:-10], b"", b"\xff" * 64):
        weights.write_bytes(damaged)
        with pytest.raises(ExportError, match="can't be read"):
            Checkpoint(folder)
    weights.unlink()
    with pytest.raises(ExportError, match="is no model"):
        Checkpoint(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ExportError, match="not valid JSON"):
        Checkpoint(folder)


def test_names_a_shard_that_is_cut_off(tmp_path: Path, model_folder: Callable[[str], Path]) -> None:
    LlamaForCausalLM.from_pretrained(model_folder("llama-tied")).save_pretrained(tmp_path, max_shard_size="50KB")
    cut = sorted(tmp_path.glob("*.safetensors"))[-1]
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(ExportError, match=f"{cut.name}.*fetch or build the model again"):
        Checkpoint(tmp_path)


def test_refuses_folders_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ExportError, match=r"is no model.*config\.json"):
            Checkpoint(folder)
