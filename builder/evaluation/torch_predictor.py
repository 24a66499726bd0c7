"""A transformers model as a predictor: batches of prompts, greedy, up to the end of the line.

Not `generate`: that keeps finished prompts in the batch until the slowest one ends, which triples the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from builder.prompt import PromptEncoder
from builder.pruning.plan import count_parameters


class TorchPredictor:
    """Implements `builder.evaluation.scoring.Predictor`."""

    def __init__(
        self, name: str, model: PreTrainedModel, encoder: PromptEncoder, *, max_new_tokens: int = 32, batch: int = 16
    ) -> None:
        self.name = name
        self.model = model
        self.encoder = encoder
        self.parameters = count_parameters(model)
        self.bytes = sum(p.numel() * p.element_size() for p in {id(p): p for p in model.parameters()}.values())
        self._max_new_tokens = max_new_tokens
        self._batch = batch
        vocabulary = encoder.tokenizer.get_vocab_size(with_added_tokens=True)
        newlines = {i for i in range(vocabulary) if "\n" in encoder.tokenizer.decode([i], skip_special_tokens=False)}
        self._end_ids = newlines | encoder.stop_ids

    @torch.inference_mode()
    def nats(self, ids: Sequence[int]) -> float:
        """Summed negative log-likelihood of ids[1:]; logits are taken to float32 first."""
        tokens = torch.tensor([list(ids)])
        logits = self.model(tokens, use_cache=False).logits[0, :-1].float()
        return float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum"))

    @torch.inference_mode()
    def complete_lines(self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None]) -> list[str]:
        """Greedy lines. Prompts of like length share a batch, padded on the left; a finished one leaves it."""
        answers = [""] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            for index, ids in zip(chosen, self._continue([prompts[i] for i in chosen]), strict=True):
                answers[index] = self._line(ids)
            on_done(len(chosen))
        return answers

    def _continue(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Greedy continuations, each up to and with its first end token or `max_new_tokens`."""
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        ids = torch.tensor([[0] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in padding])
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = DynamicCache()
        continuations: list[list[int]] = [[] for _ in prompts]
        rows = torch.arange(len(prompts))  # which prompts are still in the batch
        for _ in range(self._max_new_tokens):
            logits = self.model(
                ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = logits.argmax(dim=1)
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
                continuations[row].append(token)
            going = torch.tensor([token not in self._end_ids for token in tokens.tolist()])
            if not going.any():
                break
            if not going.all():
                rows, tokens, mask, positions = rows[going], tokens[going], mask[going], positions[going]
                cache.batch_select_indices(going.nonzero()[:, 0])
            ids = tokens[:, None]
            mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=mask.dtype)], dim=1)
            positions = positions[:, -1:] + 1
        return continuations

    def _line(self, ids: Sequence[int]) -> str:
        text_ids: list[int] = []
        for token_id in ids:
            if token_id in self.encoder.stop_ids:
                break
            text_ids.append(token_id)
        return str(self.encoder.tokenizer.decode(text_ids, skip_special_tokens=True)).split("\n", 1)[0]
