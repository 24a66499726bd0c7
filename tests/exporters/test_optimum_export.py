from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, PretrainedConfig

from contract.bundle.bundle import OPTIMUM_LAYOUT, read_bundle
from contract.errors import BundleError, ExportError
from exporters import optimum_export
from exporters.bundle_export import export_any, export_bundle
from exporters.checkpoint_reader import MAX_POSITIONS
from exporters.optimum_export import optimum_types
from exporters.parity import ExportSettings
from exporters.precision import Precision
from testbed.models import make_byte_tokenizer

FP32 = ExportSettings(precision=Precision.FP32)
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt_neox": GPTNeoXConfig(
        vocab_size=261, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    ),
    "gpt2": GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=4, n_positions=1024),
}


@pytest.fixture
def other_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    torch.manual_seed(0)
    config = CONFIGS[request.param]
    config.bos_token_id, config.eos_token_id = None, 256
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    make_byte_tokenizer().save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.mark.slow
@pytest.mark.parametrize("other_folder", list(CONFIGS), indirect=True)
def test_other_architectures_go_through_optimum(other_folder: Path, tmp_path: Path) -> None:
    config = json.loads((other_folder / "config.json").read_text())
    (other_folder / "config.json").write_text(json.dumps({**config, "_name_or_path": "/home/ada/secret"}))
    (other_folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    bundle = export_any(other_folder, tmp_path / "bundle", FP32)
    assert (bundle.manifest["base"], bundle.manifest["licence"]) == ({"name": "model"}, "apache-2.0")
    assert bundle.manifest["parity"]["max_logit_difference"] < 1e-4
    assert bundle.manifest["quantization"] == "fp32"
    assert bundle.architecture.layers == 2
    assert read_bundle(tmp_path / "bundle", layout=OPTIMUM_LAYOUT) == bundle
    with pytest.raises(BundleError, match="format 'optimum'"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("other_folder", ["gpt_neox"], indirect=True)
def test_refuses_what_neither_can_do(other_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="in fp32 only, not in int8"):
        export_any(other_folder, tmp_path / "bundle", ExportSettings())
    with pytest.raises(ExportError, match="of the type 'gpt_neox'"):
        export_bundle(other_folder, tmp_path / "bundle", FP32)
    config = other_folder / "config.json"
    config.write_text(config.read_text().replace('"gpt_neox"', '"mamba"'))
    with pytest.raises(ExportError, match="Neither the decode graph nor optimum"):
        export_any(other_folder, tmp_path / "bundle", FP32)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("other_folder", ["gpt2"], indirect=True)
def test_a_graph_that_does_not_run_is_refused_in_one_sentence(
    other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what optimum makes of gemma2, phi3 and stablelm."""

    def check(*_: object) -> None:
        raise InvalidArgument("Got invalid dimensions for input\n index: 3")

    monkeypatch.setattr(optimum_export, "_check", check)
    with pytest.raises(ExportError, match=r"^ONNX Runtime can't run .* 'gpt2' \(Got invalid dimensions for input\);"):
        export_any(other_folder, tmp_path / "bundle", FP32)
    assert not (tmp_path / "bundle").exists()


def test_positions_are_capped_and_impossible_numbers_refused_before_the_export() -> None:
    """Keys and values of 128 layers over 131,072 positions would pass the 64 GiB that a bundle may ask for."""
    large = GPTNeoXConfig(num_hidden_layers=128, max_position_embeddings=131_072)
    assert optimum_export._architecture(Path("model"), large).max_positions == MAX_POSITIONS
    with pytest.raises(ExportError, match=r"config\.json lacks or misstates .*layers is 2000"):
        optimum_export._architecture(Path("model"), GPTNeoXConfig(num_hidden_layers=2000))


def test_truncation_from_a_training_cuts_no_prompt(tmp_path: Path) -> None:
    tokenizer = make_byte_tokenizer()
    tokenizer.enable_truncation(8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = optimum_export._encoder(tmp_path, GPTNeoXConfig(eos_token_id=256), 2048)
    assert len(encoder.text_ids("a" * 20)) == 20


def test_the_prompt_format_names_first_token_and_end_and_fits_the_positions(tmp_path: Path) -> None:
    tokenizer = make_byte_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    first, end = (tokenizer.id_to_token(i) for i in (257, 256))
    settings = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": {"content": first}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    made = optimum_export._encoder(tmp_path, GPTNeoXConfig(eos_token_id=[256, 258]), 1024).prompt_format
    assert (made.bos_token, made.stop_tokens[0], made.end_token) == (first, end, end)
    assert made.max_prefix_tokens + made.max_suffix_tokens < 1024


def test_optimum_knows_the_common_decoders() -> None:
    assert {"gpt_neox", "gpt2", "gemma", "mistral", "phi3", "qwen3"} <= set(optimum_types())
