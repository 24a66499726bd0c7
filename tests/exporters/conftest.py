"""Random models of two layers, in folders as transformers writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 261
KINDS = ("llama-tied", "llama-untied", "qwen2-tied", "qwen2-untied")


def byte_tokenizer() -> Tokenizer:
    """A token a byte, then an end token and the three of fill-in-the-middle."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|unused|>")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer


def save_model(model: PreTrainedModel, folder: Path) -> Path:
    """The model with random but large weights, biases and gains, so that a node that is left out shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
            else:
                torch.nn.init.normal_(parameter, std=1.2 * parameter.shape[1] ** -0.5)
    model.save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def tiny_config(kind: str) -> PretrainedConfig:
    """Two layers, four heads on two key-value heads, a head of 16."""
    family, tied = kind.split("-")
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[family](
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_theta=10000.0,
        tie_word_embeddings=tied == "tied",
        bos_token_id=None,
        eos_token_id=256,
    )


def build_model(kind: str) -> PreTrainedModel:
    family = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM}[kind.partition("-")[0]]
    return family(tiny_config(kind)).eval()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the model of a kind, made once. Not to be written to."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_model(build_model(kind), tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder_of


@pytest.fixture(scope="session")
def byte_level_tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.fixture(params=KINDS)
def any_folder(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> Path:
    """Each kind of model in turn."""
    return model_folder(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Other tests and people share the machine."""
    torch.set_num_threads(1)
