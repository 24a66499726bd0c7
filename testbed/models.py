"""Models of two random layers, and checkpoint folders of them: no download, and no answer that means anything."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from testbed.tokenizer import BYTES, END_TOKEN, FIM_TOKENS, make_tokenizer

VOCABULARY = BYTES + 5  # of `make_byte_tokenizer`
_KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def make_model(
    vocabulary: int,
    *,
    kind: str = "qwen2",
    is_tied: bool = True,
    width: int = 256,
    positions: int = 512,
    spread: float = 0.02,
    head_dim: int | None = None,
    rope_theta: float = 10000.0,
    norm_epsilon: float = 1e-6,
    seed: int = 0,
) -> PreTrainedModel:
    """Return a model of that vocabulary with four heads on two key-value heads; the same for the same arguments.

    `width` is that of the feed-forward layers, `spread` the standard deviation of the weights. A head has 16 numbers
    if no `head_dim` is given, and the configuration then has no such entry.
    """
    config_class, model_class = _KINDS[kind]
    config = config_class(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=spread,
        rope_theta=rope_theta,
        rms_norm_eps=norm_epsilon,
        tie_word_embeddings=is_tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **({} if head_dim is None else {"head_dim": head_dim}),
    )
    torch.manual_seed(seed)
    model: PreTrainedModel = model_class(config).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def randomize(model: PreTrainedModel) -> PreTrainedModel:
    """Give a model large random weights, biases and gains, so that a node that an export leaves out shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
            else:
                torch.nn.init.normal_(parameter, std=1.2 * parameter.shape[1] ** -0.5)
    return model


def make_export_model(kind: str) -> PreTrainedModel:
    """Return a model of a token a byte for the exporter; `kind` is "llama" or "qwen2", then "-tied" or "-untied".

    No number is the one that a reader of its configuration falls back to. The heads of "llama-untied" are wider than
    the hidden state.
    """
    family, tied = kind.split("-")
    model = make_model(
        VOCABULARY,
        kind=family,
        is_tied=tied == "tied",
        width=128,
        positions=2048,
        head_dim=32 if kind == "llama-untied" else None,
        rope_theta=54321.0,
        norm_epsilon=1e-4,
    )
    model.config.eos_token_id = BYTES
    return model


def make_byte_tokenizer() -> Tokenizer:
    """Return a tokenizer of a token a byte, an end token and the three of fill-in-the-middle: `VOCABULARY` in all."""
    return make_tokenizer(BYTES, (END_TOKEN, *FIM_TOKENS, "<|unused|>"))


def save_model(model: PreTrainedModel, folder: Path) -> Path:
    """Save a model with `randomize`d weights and a tokenizer of a token a byte; return the folder."""
    randomize(model).save_pretrained(folder)
    make_byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def save_base(folder: Path, kind: str = "llama") -> Path:
    """Save a base model as users have one: weights, tokenizer and a README with its licence; return the folder."""
    tokenizer = make_tokenizer()
    make_model(tokenizer.get_vocab_size(), kind=kind).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\nlicense: gpl\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": END_TOKEN}}))
    return folder


def write_parity_prompts(folder: Path) -> None:
    """Write the prompts that an export compares on. Without them it takes our own source, too long for these models."""
    prompts = [{"prompt_ids": list(range(start, start + 20)), "truth_ids": [5, 6]} for start in range(8)]
    (folder / "parity_prompts.json").write_text(json.dumps(prompts))
