"""Models from GGUF files against the models that were written."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from builder.gguf import weights
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import read_tokenizer
from builder.gguf.weights import count_parameters, read_model
from contract.errors import BaseModelError
from testbed.gguf_files import make_parts, write_gguf

IDS = torch.tensor([[1, 5, 9, 30, 2]])


def read(path, dtype=torch.float32):
    with open_gguf(path) as gguf:
        return read_model(gguf, dtype=dtype)


def write(path, kind, metadata, tensors):
    present = {key: value for key, value in metadata.items() if value is not None}
    return write_gguf(path / "tiny.gguf", kind, present, tensors)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_weights_and_logits_are_those_of_the_model(tmp_path, kind, is_tied):
    model, tokenizer, metadata, tensors = make_parts(kind, is_tied=is_tied)
    found = read(write(tmp_path, kind, metadata, tensors))
    expected = model.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert (found.lm_head.weight is found.model.embed_tokens.weight) == is_tied
    with open_gguf(tmp_path / "tiny.gguf") as gguf:
        assert 0 <= count_parameters(gguf) - model.num_parameters() < 0.01 * model.num_parameters(), "rows of no token"
    assert found.config.vocab_size == tokenizer.get_vocab_size()
    torch.testing.assert_close(found(IDS).logits, model(IDS).logits)


def test_numbers_are_converted_to_the_wanted_type(tmp_path):
    model, _, metadata, tensors = make_parts("qwen2")
    found = read(write(tmp_path, "qwen2", metadata, tensors), torch.bfloat16)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.bfloat16}
    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(found.state_dict()[name], model.state_dict()[name].to(torch.bfloat16))


@pytest.mark.parametrize("quantization", ["Q8_0", "Q5_0", "Q4_1", "F16"])
def test_slices_dequantize_as_the_whole(tmp_path, monkeypatch, quantization):
    """Slices smaller than a matrix, of a length that no row has, and a last one that is shorter."""
    monkeypatch.setattr(weights, "SLICE_ELEMENTS", 32 * 48)
    kind = GGMLQuantizationType[quantization]
    model, _, metadata, tensors = make_parts("qwen2", quantization=kind)
    found = read(write(tmp_path, "qwen2", metadata, tensors)).state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 2:
            whole = dequantize(quantize(tensor.numpy(), kind), kind)
            assert np.array_equal(found[name].numpy(), whole), name


@pytest.mark.parametrize("better", ["embedding", "head"])
def test_two_copies_of_one_matrix_are_tied_to_the_better(tmp_path, better):
    model, _, metadata, tensors = make_parts("qwen2")
    data, _ = tensors["token_embd.weight"]
    kinds = {"token_embd.weight": GGMLQuantizationType.Q8_0, "output.weight": GGMLQuantizationType.Q5_0}
    if better == "head":
        kinds = dict(zip(kinds, reversed(kinds.values()), strict=True))
    tensors |= {name: (quantize(data, kind), kind) for name, kind in kinds.items()}
    found = read(write(tmp_path, "qwen2", metadata, tensors))
    assert found.lm_head.weight is found.model.embed_tokens.weight
    assert found.config.tie_word_embeddings
    error = (found.lm_head.weight - model.lm_head.weight).abs().max() / model.lm_head.weight.abs().max()
    assert error < 0.01  # Q8_0 is within 1/254; Q5_0 within 1/30
    with open_gguf(tmp_path / "tiny.gguf") as gguf:
        assert count_parameters(gguf) == pytest.approx(model.num_parameters(), rel=0.01)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"llama.block_count": ("uint32", 4_000_000_000)}, "makes no model"),
        ({"llama.block_count": ("uint32", 3)}, "lacks 'model.layers.2"),
        ({"llama.block_count": ("uint32", 1)}, "have no place for"),
        ({"llama.embedding_length": ("uint32", 1 << 31)}, "has the shape"),
        ({"llama.feed_forward_length": ("uint32", 1 << 31)}, "has the shape"),
        ({"llama.attention.head_count": ("uint32", 0)}, "makes no model"),
        ({"llama.attention.head_count_kv": ("uint32", 3)}, "makes no model"),
        ({"llama.attention.head_count": ("array", [4, 4])}, "is a ndarray, not a int"),
        ({"llama.rope.dimension_count": ("uint32", 8)}, "only a part of each head"),
        (
            {"llama.attention.head_count": ("uint32", 8), "llama.attention.head_count_kv": ("uint32", 4)},
            "has heads of 8 channels, and ONNX Runtime attends with multiples of 16 only",
        ),
        ({"llama.rope.scaling.type": ("string", "yarn")}, "RoPE scaling"),
        ({"llama.rope.scaling.factor": ("float32", 4.0)}, "RoPE scaling"),  # linear, if no type is named
        ({"llama.rope.scale_linear": ("float32", 4.0)}, "RoPE scaling"),  # the older key
        ({"llama.expert_count": ("uint32", 8)}, "mixture of experts"),
        ({"llama.rope.freq_base": ("float32", float("inf"))}, "RoPE base (inf)"),
        ({"llama.context_length": None}, "no 'llama.context_length'"),
    ],
)
def test_metadata_that_make_no_such_model_are_refused(tmp_path, changes, reason):
    _, _, metadata, tensors = make_parts("llama")
    with pytest.raises(BaseModelError) as caught:
        read(write(tmp_path, "llama", metadata | changes, tensors))
    assert reason in str(caught.value)


def test_more_layers_than_any_model_has_are_refused_before_one_is_made(tmp_path):
    """Succeeds on de82a37, where as many layers were made as there are tensors."""
    _, _, metadata, tensors = make_parts("llama")
    tiny = (np.zeros(1, np.float32), GGMLQuantizationType.F32)
    tensors |= {f"blk.{layer}.attn_norm.weight": tiny for layer in range(2, 1500)}
    with pytest.raises(BaseModelError, match="makes no model"):
        read(write(tmp_path, "llama", metadata | {"llama.block_count": ("uint32", 1500)}, tensors))


def test_tensors_that_dont_fit_are_refused(tmp_path):
    _, _, metadata, tensors = make_parts("llama")
    full = GGMLQuantizationType.F32
    cases: list[tuple[dict[str, Any], str]] = [
        ({"blk.1.ffn_down.weight": None}, "lacks 'model.layers.1.mlp.down_proj.weight'"),
        ({"blk.0.attn_q.weight": None}, "no tensor 'blk.0.attn_q.weight'"),
        ({"token_embd.weight": None}, "no tensor 'token_embd.weight'"),
        ({"blk.0.ffn_gate_exps.weight": (np.zeros((2, 2), np.float32), full)}, "Llama and Qwen2 models don't have"),
        ({"blk.0.attn_q.bias": (np.zeros(64, np.float32), full)}, "a Llama with biases"),
        ({"blk.1.ffn_down.weight": (np.zeros((64, 64), np.float32), full)}, "has the shape [64, 64]"),
        ({"output_norm.weight": (np.full(64, np.nan, np.float32), full)}, "no finite numbers"),
        ({"rope_freqs.weight": (np.ones(8, np.float32), full)}, "RoPE scaling"),
    ]
    for changes, reason in cases:
        changed = {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}
        with pytest.raises(BaseModelError) as caught:
            read(write(tmp_path, "llama", metadata, changed))
        assert reason in str(caught.value)


def test_a_quantization_without_a_formula_is_refused(tmp_path):
    _, _, metadata, tensors = make_parts("llama")
    with open_gguf(write(tmp_path, "llama", metadata, tensors)) as gguf:
        odd = gguf.tensors["blk.0.ffn_up.weight"]
        gguf.tensors = dict(gguf.tensors) | {odd.name: dataclasses.replace(odd, quantization=GGMLQuantizationType.Q8_1)}
        with pytest.raises(BaseModelError, match="as Q8_1, which can't be read"):
            read_model(gguf, dtype=torch.float32)


def test_other_architectures_are_refused(tmp_path):
    _, _, metadata, tensors = make_parts("llama")
    with pytest.raises(BaseModelError, match="architecture 'phi3'"):
        read(write(tmp_path, "phi3", metadata, tensors))


def test_no_changed_byte_of_the_header_gets_past_the_checks_as_a_crash(tmp_path):
    """Each change is either harmless or one clear sentence; nothing else is raised, and nothing huge is made."""
    _, _, metadata, tensors = make_parts("llama")
    path = write(tmp_path, "llama", metadata, tensors)
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    start_of_tensors = data.index(b"token_embd.weight")
    places = [*random.integers(0, 900, 60), *random.integers(start_of_tensors, start_of_tensors + 900, 60)]
    refused = 0
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(changed)
        try:
            with open_gguf(path) as gguf:
                read_tokenizer(gguf)
                read_model(gguf, dtype=torch.float32)
        except BaseModelError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 60
