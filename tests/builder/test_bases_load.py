"""What the user may call a base, how it is loaded, and how it is prompted."""

import hashlib
import json

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, processors
from transformers import GPT2Config, GPT2LMHeadModel, PretrainedConfig

from builder.bases.catalogue import CATALOGUE
from builder.bases.folder_model import head_size
from builder.bases.load import load_base
from builder.bases.prompt_tokens import make_prompt_format, with_control_tokens_special
from builder.bases.resolve import resolve_base
from contract.errors import BaseModelError
from testbed.gguf_files import make_parts, write_gguf
from testbed.models import make_model, save_base
from testbed.tokenizer import FIM_TOKENS, make_tokenizer


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spec in ("gpt-5", "absent.gguf", "./absent/folder", "a/b/c"):
        with pytest.raises(BaseModelError) as caught:
            resolve_base(spec)
        assert repr(spec) in str(caught.value)
        assert all(name in str(caught.value) for name in CATALOGUE)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_folder_is_loaded(tmp_path, kind):
    folder = save_base(tmp_path / "model", kind)
    base = load_base(str(folder), dtype=torch.float32)
    expected = make_model(make_tokenizer().get_vocab_size(), kind=kind)
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(base.model(ids).logits, expected(ids).logits)
    assert base.prompt.is_fim
    assert base.prompt.bos_token is None
    assert base.model.config.eos_token_id == base.tokenizer.token_to_id("<|endoftext|>")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert base.provenance == {
        "name": "model",
        "source": "folder model",
        "sha256": digest,
        "licence": "mit",
        "why": "it was asked for",
        "parameters": sum(parameter.numel() for parameter in expected.parameters()),
    }


@pytest.mark.parametrize(("stated", "size"), [({}, 16), ({"head_dim": None}, 16), ({"head_dim": 32}, 32)])
def test_heads_share_the_hidden_size_if_the_configuration_says_nothing_else(stated, size):
    assert head_size(PretrainedConfig(hidden_size=64, num_attention_heads=4, **stated)) == size


@pytest.mark.parametrize(
    ("ids", "name"),
    [(7, 7), ([7, 8], 7), ([], None), (True, None), (10**9, None), (2**70, None), ("7", None), (None, None)],
)
def test_the_end_is_that_of_config_json_if_no_file_of_the_tokenizer_names_it(tmp_path, ids, name):
    folder = save_base(tmp_path / "model")
    (folder / "tokenizer_config.json").unlink()
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": ids}))
    base = load_base(str(folder))
    assert base.model.config.eos_token_id == name


@pytest.mark.parametrize(
    ("name", "text", "licence"),
    [
        ("README.md", "---\ntags: [a]\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("README.md", "---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research"),
        ("README.md", "---\nlicense: other\n---\nlicense_name: no\n", "other"),
        ("README.md", "---\ntags: [a]\n---\nlicense: gpl\n", "unknown"),
        ("README.md", "license: gpl\n", "unknown"),
        ("manifest.json", '{"licence": "MIT"}', "MIT"),
        ("manifest.json", "[", "unknown"),
    ],
)
def test_the_licence_is_what_the_folder_says(tmp_path, name, text, licence):
    folder = save_base(tmp_path / "model")
    (folder / name).write_text(text)
    assert resolve_base(str(folder)).licence == licence


def test_a_gguf_file_is_loaded(tmp_path):
    model, _, metadata, tensors = make_parts("qwen2")
    path = write_gguf(tmp_path / "tiny.gguf", "qwen2", metadata, tensors)
    base = load_base(str(path), dtype=torch.float32)
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(base.model(ids).logits, model(ids).logits)
    assert base.prompt.prefix_token == "<|fim_prefix|>"
    assert base.provenance["licence"] == "mit"
    assert base.provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_folders_that_are_no_model_are_refused(tmp_path):
    folder = save_base(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())

    def check(reason):
        with pytest.raises(BaseModelError) as caught:
            load_base(str(folder))
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)

    for changes, reason in (
        ({"model_type": "mamba"}, "type 'mamba'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"quantization_config": {}}, "quantized"),
        ({"num_hidden_layers": 3}, "don't fit"),
        ({"num_hidden_layers": 1}, "don't fit"),
        ({"intermediate_size": 128}, "can't be read"),
        ({"vocab_size": "many"}, "can't be read"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        check(reason)
    (folder / "config.json").write_text("{")
    check("config.json can't be read")
    (folder / "config.json").write_text("[]")
    check("no JSON object")
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    check("can't be read")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    check("tokenizer")
    (folder / "tokenizer.json").unlink()
    check("no tokenizer.json")
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    (folder / "other.gguf").write_bytes(b"")
    check("give its file other.gguf itself")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    folder = save_base(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(BaseModelError, match="tokenizer of"):
        load_base(str(folder))


def test_no_pickle_is_read(tmp_path):
    folder = save_base(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match=r"no model\.safetensors"):
        load_base(str(folder))


def test_other_architectures_of_transformers_are_refused(tmp_path):
    folder = save_base(tmp_path / "model")
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=500)).save_pretrained(folder)
    with pytest.raises(BaseModelError, match="type 'gpt2'"):
        load_base(str(folder))


# ---- prompts


def test_a_first_token_is_found_by_what_the_tokenizer_does(tmp_path):
    folder = save_base(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single=[first[0], "$A"], special_tokens=[first])
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    base = load_base(str(folder))
    assert base.prompt.bos_token == "<|endoftext|>"
    assert base.tokenizer.decode(base.tokenizer.encode("one two three four").ids) == "one two three four"


@pytest.mark.parametrize(
    ("settings", "is_first"),
    [
        ({"tokenizer_class": "LlamaTokenizerFast"}, True),
        ({"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}, True),
        ({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}, False),
        ({"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<no such token>"}, False),
        ({"tokenizer_class": "LlamaTokenizerFast", "bos_token": None}, False),
        ({"tokenizer_class": "Qwen2Tokenizer"}, False),
        ({"add_bos_token": True}, False),
    ],
)
def test_a_first_token_is_found_by_the_class_that_adds_it(tmp_path, settings, is_first):
    """As in DeepSeek-Coder, whose tokenizer.json adds none. transformers says the same."""
    folder = save_base(tmp_path / "model")
    document = {"bos_token": {"__type": "AddedToken", "content": "<|endoftext|>"}, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(document))
    base = load_base(str(folder))
    assert base.prompt.bos_token == ("<|endoftext|>" if is_first else None)
    assert (base.tokenizer.encode("a").tokens[0] == "<|endoftext|>") == is_first, "sub-models and exports add it too"


def test_control_tokens_become_special_and_others_stay(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken("<|file_sep|>", special=False), AddedToken("    ", special=False)])
    found = with_control_tokens_special(tokenizer)
    found.encode_special_tokens = True
    assert found.token_to_id("<|file_sep|>") not in found.encode("<|file_sep|>").ids
    assert found.encode("    ").ids == [tokenizer.token_to_id("    ")]
    assert found.get_vocab() == tokenizer.get_vocab()


def test_the_prompt_format_follows_vocabulary_and_catalogue():
    tokenizer = make_tokenizer()
    prompt_format = make_prompt_format(tokenizer, is_fim=None, bos_token=None, eos_token="<|endoftext|>")
    assert (prompt_format.prefix_token, prompt_format.suffix_token, prompt_format.middle_token) == FIM_TOKENS
    assert prompt_format.stop_tokens == ("<|endoftext|>", *FIM_TOKENS)
    plain = make_prompt_format(tokenizer, is_fim=False, bos_token="<|endoftext|>", eos_token=None)
    assert not plain.is_fim
    assert plain.bos_token == "<|endoftext|>"
    assert set(FIM_TOKENS) < set(plain.stop_tokens)
