"""A checkpoint as a GGUF file: what our reader makes of it, and what llama.cpp says with it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import unicodedata
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from tokenizers import Regex, Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from builder.artifact import MANIFEST, SCHEMA_VERSION, read_artifact
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import PRE_TOKENIZERS, QWEN2_PATTERN, read_tokenizer
from builder.gguf.weights import read_model
from contract.errors import ExportError
from exporters.gguf_export import PATH_FIRST, SUFFIX_FIRST, export_gguf, parse_gguf_precision
from exporters.gguf_tokenizer import PROBE, find_pre, read_vocabulary
from exporters.precision import Precision
from laboratory.bench import llama_cpp_worker
from submodel.app import app
from testbed.models import make_export_model, save_model
from testbed.tokenizer import BYTES, END_TOKEN, FIM, FIM_TOKENS, make_tokenizer

NEW_TOKENS = 12
NEAR_TIE = 0.02  # of logits that are several units apart
HAS_LLAMA_CPP = importlib.util.find_spec("xllamacpp") is not None
# Prompts that no model here was made from.
PROMPTS = [f"def f{n}(self):\n    return self.items[{n}:{7 * n}] or {{}}  # {n * 1234}" for n in range(10)]


def tokenizer_of(pre: str) -> Tokenizer:
    """Byte-level BPE by the rules of that name, with 40 merges and special tokens."""
    tokenizer = make_tokenizer(BYTES + 40, (END_TOKEN, *FIM_TOKENS, "<|fim_pad|>"))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    return tokenizer


@pytest.fixture(scope="module")
def folders(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model of each kind whose vocabulary has merges, and more rows than tokens."""

    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = tokenizer_of("qwen2" if kind.startswith("qwen2") else "smollm")
        model = make_export_model(kind)
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
    path = export_gguf(folders(kind), tmp_path / "model.gguf", Precision(precision))
    wanted = AutoModelForCausalLM.from_pretrained(folders(kind), dtype=torch.float32).state_dict()
    own = Tokenizer.from_file(str(folders(kind) / "tokenizer.json"))
    with open_gguf(path) as gguf:
        found = read_model(gguf, dtype=torch.float32).state_dict()
        tokenizer = read_tokenizer(gguf).tokenizer
        assert gguf.metadata["tokenizer.ggml.pre"] == ("qwen2" if kind.startswith("qwen2") else "smollm")
        for name, token in zip(("fim_pre", "fim_suf", "fim_mid"), FIM_TOKENS, strict=True):
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


def test_the_command_writes_the_precision_that_it_was_asked_for(folders: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    words = ["export", str(folders("llama-tied")), "-o", str(path), "--format", "gguf", "--quantize", "fp16"]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"gguf": str(path), "bytes": path.stat().st_size, "quantization": "fp16"}
    same = export_gguf(folders("llama-tied"), tmp_path / "same.gguf", Precision("fp16"))
    assert path.read_bytes() == same.read_bytes()
    with pytest.raises(ExportError, match="--add has no place"):
        CliRunner().invoke(app, [*words, "--add"], catch_exceptions=False)


def test_a_gguf_file_is_not_taken_for_the_folder_of_a_bundle(folders: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.GGUF"
    with pytest.raises(ExportError, match="add --format gguf"):
        CliRunner().invoke(app, ["export", str(folders("llama-tied")), "-o", str(path)], catch_exceptions=False)
    assert not path.exists()


def test_the_layout_that_was_taught_is_reported(folders: Callable[[str], Path], tmp_path: Path) -> None:
    its_own = llama_cpp_worker.SUFFIX_FIRST, llama_cpp_worker.PATH_FIRST
    assert its_own == (SUFFIX_FIRST, PATH_FIRST), "the bench's worker imports nothing of ours"
    for prompt_format in (FIM, replace(FIM, suffix_first=True, path_first=True)):
        folder = tmp_path / f"model {prompt_format.suffix_first}"
        shutil.copytree(folders("llama-tied"), folder)
        (folder / MANIFEST).write_text(json.dumps({"schema": SCHEMA_VERSION, "prompt": prompt_format.to_json()}))
        with open_gguf(export_gguf(folder, tmp_path / f"{prompt_format.suffix_first}.gguf")) as gguf:
            said = [gguf.metadata.get(key) for key in (SUFFIX_FIRST, PATH_FIRST)]
            assert said == [prompt_format.suffix_first or None, prompt_format.path_first or None]


@pytest.mark.parametrize("pre", ["qwen2", "smollm", "gpt-2", "default", "llama-bpe"])
def test_the_cutting_rules_are_found_by_what_they_do(pre: str) -> None:
    assert find_pre(tokenizer_of(pre), Path("tokenizer.json")) == pre


def test_other_cutting_rules_are_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("llama-tied"), tmp_path / "model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ExportError, match=r"llama\.cpp would read other tokens"):
        export_gguf(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_rules_that_keep_marks_with_letters_are_none_of_qwen2(folders: Callable[[str], Path]) -> None:
    """Those of Qwen3.5, as llama.cpp has them under another name."""
    tokenizer = Tokenizer.from_file(str(folders("qwen2-tied") / "tokenizer.json"))
    pattern = QWEN2_PATTERN.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    with pytest.raises(ExportError, match="none of qwen2"):
        find_pre(tokenizer, Path("tokenizer.json"))
    assert unicodedata.normalize("NFC", PROBE) == PROBE, "a tokenizer that composes characters splits the same text"


def test_a_model_that_names_no_end_gets_a_known_one(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """llama.cpp would take token 11."""
    folder = Path(shutil.copytree(folders("llama-tied"), tmp_path / "model"))
    (folder / "tokenizer_config.json").unlink()
    config, size = json.loads((folder / "config.json").read_text()), 10_000
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert read_vocabulary(folder, config, None, size).special_ids["eos"] == tokenizer.token_to_id(END_TOKEN)
    make_tokenizer(BYTES + 40, FIM_TOKENS).save(str(folder / "tokenizer.json"))
    with pytest.raises(ExportError, match=r"names no token that ends a text; add eos_token"):
        read_vocabulary(folder, config, None, size)


def test_truncation_and_padding_from_a_training_cut_nothing(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("llama-tied"), tmp_path / "model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=12)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert export_gguf(folder, tmp_path / "model.gguf").is_file()
    (ids,) = read_artifact(folder).token_ids(["def f(self):\n    return 1\n"])
    assert len(ids) > 12


def test_a_first_token_is_added_as_the_tokenizer_s_class_adds_it(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """As in DeepSeek-Coder, whose tokenizer.json adds none."""
    folder = Path(shutil.copytree(folders("llama-tied"), tmp_path / "model"))
    settings = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<|fim_pad|>", "eos_token": END_TOKEN}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with open_gguf(export_gguf(folder, tmp_path / "model.gguf")) as gguf:
        assert gguf.metadata["tokenizer.ggml.add_bos_token"] is True
        token_id = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|fim_pad|>")
        assert gguf.metadata["tokenizer.ggml.bos_token_id"] == token_id


def test_files_of_others_stay(folders: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.gguf").write_text("precious")
    writer = GGUFWriter(tmp_path / "base.gguf", "llama")  # somebody else's model
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_ti_data_to_file):
        write()
    writer.close()
    content = (tmp_path / "base.gguf").read_bytes()
    for target in (tmp_path / "thesis.gguf", tmp_path / "base.gguf", tmp_path):
        with pytest.raises(ExportError, match="with -o"):
            export_gguf(folders("llama-tied"), target)
    assert (tmp_path / "thesis.gguf").read_text() == "precious"
    assert (tmp_path / "base.gguf").read_bytes() == content
    (tmp_path / "new.gguf").touch()
    for precision in (Precision.FP16, Precision.INT8):  # the second time in the place of the first
        size = export_gguf(folders("llama-tied"), tmp_path / "new.gguf", precision).stat().st_size
    assert size == export_gguf(folders("llama-tied"), tmp_path / "same.gguf").stat().st_size


def test_unknown_precisions_are_named() -> None:
    with pytest.raises(ExportError, match=r"'int4'.*fp32, fp16, int8"):
        parse_gguf_precision("int4")


class LlamaServer:
    """llama.cpp's own server on a GGUF file, in this process."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path, parameters.n_ctx, parameters.n_parallel = str(path), 256, 1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        # By default the KV cache is in 16 bits, which moves near ties of random weights.
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        self._server = xllamacpp.Server(parameters)

    def ask(self, method: str, request: dict[str, Any]) -> list[int]:
        """Return the token ids of its answer."""
        address = f"{self._server.listening_address}/{method}"
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(request).encode(), headers)) as answer:
            return list(json.load(answer)["tokens"])


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LLAMA_CPP, reason="xllamacpp is not here: make test-tools")
@pytest.mark.parametrize("kind", ["llama-tied", "qwen2-untied"])
def test_llama_cpp_says_what_the_checkpoint_says(folders: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    folder = folders(kind)
    llama = LlamaServer(export_gguf(folder, tmp_path / "model.gguf", Precision.FP32))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    greedy: dict[str, Any] = {
        "n_predict": NEW_TOKENS,
        "temperature": 0,
        "top_k": 1,
        "repeat_penalty": 1.0,
        "return_tokens": True,
    }
    greedy |= {"cache_prompt": False}
    compared = 0
    for text in PROMPTS:
        ids = own.encode(text).ids
        assert llama.ask("tokenize", {"content": text, "add_special": False, "parse_special": False}) == ids
        options: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "eos_token_id": None}
        wanted = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), pad_token_id=0, **options)
        # Where two tokens are nearly as likely, which random weights bring about, other arithmetic may take the other.
        best = model(wanted[:, :-1]).logits[0, len(ids) - 1 :].topk(2).values
        clear = int((best[:, 0] - best[:, 1] >= NEAR_TIE).int().cumprod(0).sum())
        answer = llama.ask("completion", {"prompt": ids, **greedy})
        assert answer[:clear] == wanted[0, len(ids) :].tolist()[:clear]
        compared += clear
    assert compared > len(PROMPTS) * NEW_TOKENS // 2
