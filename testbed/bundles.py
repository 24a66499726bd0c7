"""A bundle that is made in a second and shaped as the real ones."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from contract.bundle.bundle import Architecture
from contract.bundle.manifest import MODEL_FILE, TOKENIZER_FILE, write_manifest_of
from contract.prompt import PromptFormat
from testbed.tokenizer import make_tokenizer

TINY_FORMAT = PromptFormat(
    prefix_token="<|prefix|>", suffix_token="<|suffix|>", middle_token="<|middle|>", stop_tokens=("<|end|>",)
)


def make_bundle_tokenizer() -> Tokenizer:
    """Return a tokenizer with four control tokens, two of which aren't flagged as special (as Qwen's)."""
    tokenizer = make_tokenizer(400, ("<|end|>", "<|prefix|>"))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("<|suffix|>", "<|middle|>")])
    return tokenizer


def make_tiny_bundle(folder: Path, checkpoint_folder: Path, *, seed: int = 0) -> None:
    """Write a bundle of a random model in fp32 that answers in printable ASCII and never ends by itself."""
    # Here and not above: most tests do without torch and its two seconds.
    import torch

    from exporters.checkpoint_reader import Checkpoint
    from exporters.graph import build_graph, save_graph
    from exporters.precision import Precision
    from testbed.models import make_model

    tokenizer = make_bundle_tokenizer()
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    shape = Architecture(layers=2, kv_heads=2, head_dim=16, hidden_size=64, vocab_size=vocabulary, max_positions=2048)
    # Wide: the next token then depends on the whole prompt, and ties are far away.
    model = make_model(vocabulary, kind="llama", width=128, positions=shape.max_positions, spread=0.5, seed=seed)
    text = [tokenizer.decode([token_id], skip_special_tokens=False) for token_id in range(vocabulary)]
    unwanted = [
        i for i, piece in enumerate(text) if piece.startswith("<|") or not (piece.isascii() and piece.isprintable())
    ]
    with torch.no_grad():
        model.get_input_embeddings().weight[unwanted] *= 0.01  # their logits are about 0: never the largest
    model.save_pretrained(checkpoint_folder)
    save_graph(build_graph(Checkpoint(checkpoint_folder), Precision.FP32), folder / MODEL_FILE)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    write_manifest_of(folder, {"prompt": TINY_FORMAT.to_json(), "architecture": shape.to_json()})
