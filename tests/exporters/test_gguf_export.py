"""A checkpoint as a GGUF file: what our reader makes of it, and what llama.cpp says with it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM

from builder.artifact import MANIFEST, SCHEMA_VERSION
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import PRE_TOKENIZERS, read_tokenizer
from builder.gguf.weights import read_model
from contract.errors import ExportError
from contract.prompt import PromptFormat
from exporters.gguf_export import SUFFIX_FIRST, GgufPrecision, export_gguf, parse_gguf_precision
from exporters.gguf_tokenizer import find_pre
from laboratory.bench import llama_cpp_worker

FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
NEW_TOKENS = 12
HAS_LLAMA_CPP = importlib.util.find_spec("llama_cpp") is not None
# Prompts that no model here was made from.
PROMPTS = [f"def f{n}(self):\n    return self.items[{n}:{7 * n}] or {{}}  # {n * 1234}" for n in range(10)]


def make_tokenizer(pre: str) -> Tokenizer:
    """Byte-level BPE by the rules of that name, with 40 merges and special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=296, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([Path(__file__).read_text("utf-8")], trainer)
    special = [AddedToken(token, special=True) for token in ("<|endoftext|>", *FIM, "<|fim_pad|>")]
    tokenizer.add_special_tokens(special)
    return tokenizer


@pytest.fixture(scope="module")
def folders(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model of each kind whose vocabulary has merges, and more rows than tokens."""

    def make(kind: str) -> Path:
        from tests.exporters.conftest import build_model, save_model

        folder = tmp_path_factory.mktemp(kind)
        tokenizer = make_tokenizer("qwen2" if kind.startswith("qwen2") else "smollm")
        model = build_model(kind)
        model.resize_token_embeddings(tokenizer.get_vocab_size() + 3)
        torch.manual_seed(1)
        save_model(model, folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|endoftext|>"}}))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
        return folder

    made: dict[str, Path] = {}
    return lambda kind: made.setdefault(kind, make(kind)) if kind not in made else made[kind]


@pytest.mark.parametrize("kind", ["llama-tied", "llama-untied", "qwen2-tied", "qwen2-untied"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.0), ("fp16", 2e-3), ("int8", 2e-2)])
def test_our_reader_finds_the_same_model(
    folders: Callable[[str], Path], tmp_path: Path, kind: str, precision: str, tolerance: float
) -> None:
    path = export_gguf(folders(kind), tmp_path / "model.gguf", GgufPrecision(precision))
    wanted = AutoModelForCausalLM.from_pretrained(folders(kind), dtype=torch.float32).state_dict()
    own = Tokenizer.from_file(str(folders(kind) / "tokenizer.json"))
    with open_gguf(path) as gguf:
        found = read_model(gguf, dtype=torch.float32).state_dict()
        tokenizer = read_tokenizer(gguf).tokenizer
        assert gguf.metadata["tokenizer.ggml.pre"] == ("qwen2" if kind.startswith("qwen2") else "smollm")
        for name, token in zip(("fim_pre", "fim_suf", "fim_mid"), FIM, strict=True):
            assert gguf.metadata[f"tokenizer.ggml.{name}_token_id"] == own.token_to_id(token)
        assert gguf.metadata["tokenizer.ggml.eos_token_id"] == own.token_to_id("<|endoftext|>")
        assert gguf.metadata["tokenizer.ggml.add_bos_token"] is False
    rows = own.get_vocab_size()
    for name, tensor in wanted.items():
        expected = tensor[:rows] if name in ("model.embed_tokens.weight", "lm_head.weight") else tensor
        assert (found[name] - expected).abs().max() <= tolerance * expected.abs().max(), name
    for text in PROMPTS:
        assert tokenizer.encode(text).ids == own.encode(text).ids
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.gguf"]


def test_the_layout_that_was_taught_is_reported(folders: Callable[[str], Path], tmp_path: Path) -> None:
    assert llama_cpp_worker.SUFFIX_FIRST == SUFFIX_FIRST, "the bench's worker imports nothing of ours"
    prompt = PromptFormat(prefix_token=FIM[0], suffix_token=FIM[1], middle_token=FIM[2], suffix_first=True)
    for prompt_format in (prompt, replace(prompt, suffix_first=False)):
        folder = tmp_path / f"model {prompt_format.suffix_first}"
        shutil.copytree(folders("llama-tied"), folder)
        (folder / MANIFEST).write_text(json.dumps({"schema": SCHEMA_VERSION, "prompt": prompt_format.to_json()}))
        with open_gguf(export_gguf(folder, tmp_path / f"{prompt_format.suffix_first}.gguf")) as gguf:
            assert gguf.metadata.get(SUFFIX_FIRST) is (True if prompt_format.suffix_first else None)


@pytest.mark.parametrize("pre", ["qwen2", "smollm", "gpt-2", "default", "llama-bpe"])
def test_the_cutting_rules_are_found_by_what_they_do(pre: str) -> None:
    assert find_pre(make_tokenizer(pre), Path("tokenizer.json")) == pre


def test_other_cutting_rules_are_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("llama-tied"), tmp_path / "model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ExportError, match=r"llama\.cpp would read other tokens"):
        export_gguf(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_files_of_others_stay(folders: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.gguf").write_text("precious")
    for target in (tmp_path / "thesis.gguf", tmp_path):
        with pytest.raises(ExportError, match="with -o"):
            export_gguf(folders("llama-tied"), target)
    assert (tmp_path / "thesis.gguf").read_text() == "precious"


def test_unknown_precisions_are_named() -> None:
    with pytest.raises(ExportError, match=r"'int4'.*fp32, fp16, int8"):
        parse_gguf_precision("int4")


@pytest.mark.skipif(not HAS_LLAMA_CPP, reason="llama-cpp-python is not here: pip install 'submodel[bench]'")
@pytest.mark.parametrize("kind", ["llama-tied", "qwen2-untied"])
def test_llama_cpp_says_what_the_checkpoint_says(folders: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    import llama_cpp

    folder = folders(kind)
    path = export_gguf(folder, tmp_path / "model.gguf", GgufPrecision.FP32)
    llama: Any = llama_cpp.Llama(model_path=str(path), n_ctx=256, n_threads=1, verbose=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in PROMPTS:
        ids = own.encode(text).ids
        assert llama.tokenize(text.encode(), add_bos=False, special=False) == ids
        options: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "eos_token_id": None}
        wanted = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), pad_token_id=0, **options)
        steps = llama.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0)
        assert [next(steps) for _ in range(NEW_TOKENS)] == wanted[0, len(ids) :].tolist()
