"""Three new tokens for a base that never learned to fill in the middle; fine-tuning teaches them."""

from __future__ import annotations

from dataclasses import replace

import torch
from tokenizers import AddedToken, Tokenizer
from torch import nn
from transformers import PreTrainedModel

from builder.bases.prompt_tokens import FIM_FAMILIES
from contract.prompt import PromptFormat

FIM_TOKENS = FIM_FAMILIES[0]  # prefix, suffix, middle


def add_fim_tokens(model: PreTrainedModel, tokenizer: Tokenizer, prompt_format: PromptFormat) -> PromptFormat:
    """Give the model and its tokenizer the three tokens, both in place; the prompt format that uses them.

    Each new embedding starts as the mean of all: a row that stands for no word, and so disturbs nothing.
    """
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in FIM_TOKENS])
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    is_tied = head.weight is embedding.weight
    embedding.weight = _longer(embedding.weight, size)
    embedding.num_embeddings = size
    head.weight = embedding.weight if is_tied else _longer(head.weight, size)
    head.out_features = size
    model.config.vocab_size = size
    prefix, suffix, middle = FIM_TOKENS
    stops = tuple(dict.fromkeys((*prompt_format.stop_tokens, *FIM_TOKENS)))
    return replace(prompt_format, prefix_token=prefix, suffix_token=suffix, middle_token=middle, stop_tokens=stops)


def _longer(weight: torch.Tensor, rows: int) -> nn.Parameter:
    """The same rows, then as many copies of their mean as are missing; rows beyond the vocabulary are dropped first."""
    kept = weight.detach()[: rows - len(FIM_TOKENS)]
    mean = kept.float().mean(dim=0, keepdim=True).to(weight.dtype)
    return nn.Parameter(torch.cat([kept, mean.repeat(rows - len(kept), 1)]), requires_grad=False)


class NewRows:
    """Trainable differences to some rows of an embedding, without a gradient for all its other rows.

    The head that may be tied to the embedding is left as it is meanwhile: nothing ever predicts these tokens.
    """

    def __init__(self, embedding: nn.Embedding, token_ids: tuple[int, ...]) -> None:
        self._embedding = embedding
        self._ids = torch.tensor(token_ids, device=embedding.weight.device)
        # Differences of float32: steps of training are smaller than bfloat16 tells apart.
        self.difference = nn.Parameter(
            torch.zeros(len(token_ids), embedding.embedding_dim, device=embedding.weight.device)
        )
        self._hook = embedding.register_forward_hook(self._add)

    def merge(self) -> None:
        """Add the differences to the rows for good."""
        self._hook.remove()
        with torch.no_grad():
            rows = self._embedding.weight[self._ids].float() + self.difference
            self._embedding.weight[self._ids] = rows.to(self._embedding.weight.dtype)

    def _add(self, module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        chosen = inputs[0][..., None] == self._ids  # (batch, tokens, rows)
        return output + (chosen.to(self.difference.dtype) @ self.difference).to(output.dtype)
