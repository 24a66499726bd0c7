"""Model folders that a stranger made: what they name must be neither fetched nor run, nor any pickle of theirs read.

Attacked: `builder.bases.folder_model`, `exporters.optimum_export`. transformers runs custom_generate/generate.py of any
local folder, follows adapter_config.json, and reads a pickled shard that an index of safetensors names. Each test
fails on 63ec2ff, in some of its cases, unless it says that it is no attack.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.modeling_utils
from transformers import AutoModelForCausalLM, GPT2Config

from builder.bases.folder_model import read_folder_model
from builder.bases.load import load_base
from builder.bases.model_config import read_tokenizer_settings
from builder.bases.resolve import licence_of
from contract.errors import BaseModelError, SubmodelError
from exporters.bundle_export import export_any
from exporters.checkpoint_reader import Checkpoint
from exporters.parity import ExportSettings
from exporters.precision import Precision
from testbed.models import save_base, write_parity_prompts

FP32 = ExportSettings(precision=Precision.FP32)
KERNEL = "evil-org/evil-kernel"


@pytest.fixture(params=["llama", "qwen2"])
def base(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(save_base(tmp_path / "base", request.param))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A model of an architecture that only optimum exports."""
    folder = Path(save_base(tmp_path / "other"))
    config = GPT2Config(vocab_size=500, n_embd=32, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    write_parity_prompts(folder)
    return folder


@pytest.fixture(autouse=True)
def pickles(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What torch.load is called with."""
    read: list[object] = []

    def load(file: object, *_: object, **__: object) -> dict[str, torch.Tensor]:
        read.append(file)
        return {}

    monkeypatch.setattr(torch, "load", load)
    return read


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Code that is fetched from the model hub where the package `kernels` is installed."""
    fetched: list[str] = []
    monkeypatch.setattr(transformers.modeling_utils, "load_and_register_kernel", fetched.append)
    return fetched


def change_config(folder: Path, **keys: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def plant_generate(folder: Path) -> Path:
    """A custom_generate/generate.py that leaves a mark."""
    mark = folder.parent / "ran"
    (folder / "custom_generate").mkdir()
    code = f"open({str(mark)!r}, 'w').close()\n\n\ndef generate(model, *_, **__):\n    pass\n"
    (folder / "custom_generate" / "generate.py").write_text(code)
    return mark


def test_no_code_beside_a_base_is_run(base: Path) -> None:
    mark = plant_generate(base)
    load_base(str(base))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "number"),
    [("num_hidden_layers", 10**8), ("vocab_size", 1 << 40), ("hidden_size", -1), ("intermediate_size", "many")],
)
def test_numbers_that_would_fill_memory_are_refused_before_a_layer_is_made(
    base: Path, name: str, number: object
) -> None:
    change_config(base, **{name: number})
    with pytest.raises(SubmodelError, match=name):
        load_base(str(base))
    with pytest.raises(SubmodelError, match="decoder"):
        Checkpoint(base)


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers allocates whatever config.json asks for, and says afterwards what was missing."""
    refuse = classmethod(lambda *_, **__: pytest.fail("memory was allocated"))
    monkeypatch.setattr(transformers.modeling_utils.PreTrainedModel, "from_pretrained", refuse)


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize(
    ("name", "number"),
    [("num_hidden_layers", 1024), ("vocab_size", 1 << 22), ("hidden_size", 1 << 18), ("head_dim", 1 << 12)],
)
def test_a_model_that_is_larger_than_its_weights_is_not_made(base: Path, name: str, number: int) -> None:
    """Each number is one that some model may have. Succeeds on de82a37."""
    change_config(base, **{"layer_types": None, name: number})
    with pytest.raises(BaseModelError, match=r"don't fit its config\.json, which asks for"):
        read_folder_model(base, torch.float32)


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize(
    ("name", "number", "reason"),
    [
        ("vocab_size", 1 << 40, "vocab_size is"),
        ("n_layer", 10**6, "don't fit"),
        ("n_embd", 1 << 16, "don't fit"),
        ("text_config", {"num_hidden_layers": 10**9}, "num_hidden_layers is"),
    ],
)
def test_nor_one_that_is_exported_through_optimum(
    other: Path, tmp_path: Path, name: str, number: object, reason: str
) -> None:
    """Succeeds on de82a37."""
    change_config(other, **{name: number})
    with pytest.raises(SubmodelError, match=reason):
        export_any(other, tmp_path / "bundle", FP32)


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are of Unix")
@pytest.mark.parametrize("name", ["model.safetensors", "model-1.safetensors"])
def test_a_pipe_in_the_place_of_weights_is_not_opened(base: Path, name: str) -> None:
    """Without a writer it would be waited for, for ever. Succeeds on de82a37."""
    (base / "model.safetensors").unlink()
    os.mkfifo(base / name)
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(BaseModelError, match="is no file"):
        load_base(str(base))
    with pytest.raises(BaseModelError, match="is no file"):
        read_folder_model(base, torch.float32)


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are of Unix")
def test_a_model_card_and_a_tokenizer_s_settings_are_read_with_a_bound(base: Path) -> None:
    """Succeeds on de82a37."""
    for name in ("README.md", "tokenizer_config.json"):
        with (base / name).open("w") as file:
            file.write("---\nlicense: mit\n---\n" if name == "README.md" else '{"eos_token": "<|endoftext|>"}')
            file.truncate(1 << 40)  # a hole, which takes no disk
    assert licence_of(base) == "unknown"
    with pytest.raises(BaseModelError, match="tokenizer_config"):
        read_tokenizer_settings(base)
    (base / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(BaseModelError, match="tokenizer_config"):
        read_tokenizer_settings(base)


def test_no_code_beside_a_model_that_is_exported_is_run(other: Path, tmp_path: Path) -> None:
    mark = plant_generate(other)
    export_any(other, tmp_path / "bundle", FP32)
    assert not mark.exists()


@pytest.mark.parametrize("key", ["_attn_implementation_internal", "_attn_implementation", "attn_implementation"])
def test_a_base_names_no_code_on_the_hub(base: Path, kernels: list[str], key: str) -> None:
    change_config(base, **{key: KERNEL})
    model = load_base(str(base)).model
    assert kernels == []
    assert model.config._attn_implementation == "sdpa"


def test_an_exported_model_names_no_code_on_the_hub(other: Path, kernels: list[str], tmp_path: Path) -> None:
    change_config(other, _attn_implementation_internal=KERNEL)
    export_any(other, tmp_path / "bundle", FP32)
    assert kernels == []


def test_an_adapter_leads_nowhere(base: Path, tmp_path: Path, pickles: list[object]) -> None:
    elsewhere = shutil.copytree(base, tmp_path / "elsewhere")
    adapter = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(elsewhere)}
    (base / "adapter_config.json").write_text(json.dumps(adapter | {"target_modules": ["q_proj"]}))
    (base / "adapter_model.bin").write_bytes(b"")
    (elsewhere / "model.safetensors").unlink()
    model = load_base(str(base)).model
    assert pickles == []
    assert not model._hf_peft_config_loaded


@pytest.mark.parametrize("shard", ["evil.bin", "../evil.safetensors", 7, None])
def test_an_index_names_safetensors_files_of_its_folder_only(base: Path, pickles: list[object], shard: object) -> None:
    weights = base / "model.safetensors"
    shutil.copy(weights, base.parent / "evil.safetensors")
    (base / "evil.bin").write_bytes(b"")
    weights.rename(base / "model-1.safetensors")
    names = json.dumps({"metadata": {}, "weight_map": {"model.norm.weight": shard}})
    (base / "model.safetensors.index.json").write_text(names)
    with pytest.raises(BaseModelError, match=r"no safetensors file beside it|can't be read"):
        load_base(str(base))
    assert pickles == []


def test_a_pickle_in_the_place_of_safetensors_is_not_read(base: Path, other: Path, pickles: list[object]) -> None:
    """No attack on 63ec2ff."""
    for folder in (base, other):
        (folder / "model.safetensors").rename(folder / "junk.safetensors")
        (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BaseModelError):
        read_folder_model(base, torch.float32)
    with pytest.raises(SubmodelError):
        export_any(other, other.parent / "bundle", FP32)
    assert pickles == []


def test_a_sharded_base_is_read(base: Path) -> None:
    """No attack: what is refused is not all."""
    whole = load_base(str(base), dtype=torch.float32).model
    for path in base.glob("*.safetensors"):
        path.unlink()
    whole.save_pretrained(base, max_shard_size="50KB")
    assert (base / "model.safetensors.index.json").is_file()
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(load_base(str(base), dtype=torch.float32).model(ids).logits, whole(ids).logits)
