"""A transformers model as a predictor: greedy lines for many prompts.

Not `generate`: that reads again what prompts share, pads them to one length, and keeps finished ones in the batch until
the slowest one ends, which triples the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel

from builder.evaluation.packing import Pack, pack_prompts
from builder.prompt import PromptEncoder
from builder.pruning.plan import count_parameters


class TorchPredictor:
    """Implements `builder.evaluation.scoring.Predictor`."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        encoder: PromptEncoder,
        *,
        max_new_tokens: int = 32,
        batch: int = 128,
        pack_tokens: int = 300,
    ) -> None:
        self.name = name
        self.model = model
        self.encoder = encoder
        self.parameters = count_parameters(model)
        self.bytes = sum(p.numel() * p.element_size() for p in {id(p): p for p in model.parameters()}.values())
        self._max_new_tokens = max_new_tokens
        self._batch = batch
        self._pack_tokens = pack_tokens
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
        """Greedy lines; what several prompts begin with is read once. An empty prompt has an empty answer."""
        answers = [""] * len(prompts)
        asked = [i for i, prompt in enumerate(prompts) if prompt]
        on_done(len(prompts) - len(asked))
        order = sorted(asked, key=lambda i: list(prompts[i]))  # the most alike side by side
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            read: list[_ReadPrompt] = []
            for pack in pack_prompts([prompts[i] for i in chosen], self._pack_tokens):
                read += self._read(pack)
                on_done(len(pack.places))
            for index, ids in zip(chosen, self._continue(read), strict=True):
                answers[index] = self._line(ids)
        return answers

    def _read(self, pack: Pack) -> list[_ReadPrompt]:
        cache = DynamicCache()
        last = torch.tensor([places[-1] for places in pack.places])
        logits = self.model(
            torch.tensor([pack.ids]),
            attention_mask=pack.mask()[None, None],
            position_ids=torch.tensor([pack.positions]),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        ).logits[0]
        return [
            _ReadPrompt(
                states=[(layer.keys[:, :, places], layer.values[:, :, places]) for layer in cache.layers],
                next_id=next_id,
            )
            for places, next_id in zip(pack.places, logits.argmax(dim=1).tolist(), strict=True)
        ]

    def _continue(self, prompts: Sequence[_ReadPrompt]) -> list[list[int]]:
        """Greedy continuations, each up to and with its first end token or `max_new_tokens`."""
        continuations = [[prompt.next_id] for prompt in prompts]
        going = [row for row, prompt in enumerate(prompts) if prompt.next_id not in self._end_ids]
        if not going:
            return continuations
        cache, mask = _padded([prompts[row] for row in going])
        rows = torch.tensor(going)  # which prompts are still in the batch
        ids = torch.tensor([[prompts[row].next_id] for row in going])
        for _ in range(1, self._max_new_tokens):
            mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=mask.dtype)], dim=1)
            logits = self.model(
                ids,
                attention_mask=mask,
                position_ids=mask.sum(dim=1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            tokens = logits.argmax(dim=1)
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
                continuations[row].append(token)
            stays = torch.tensor([token not in self._end_ids for token in tokens.tolist()])
            if not stays.any():
                break
            if not stays.all():
                rows, tokens, mask = rows[stays], tokens[stays], mask[stays]
                cache.batch_select_indices(stays.nonzero()[:, 0])
            ids = tokens[:, None]
        return continuations

    def _line(self, ids: Sequence[int]) -> str:
        text_ids: list[int] = []
        for token_id in ids:
            if token_id in self.encoder.stop_ids:
                break
            text_ids.append(token_id)
        return str(self.encoder.tokenizer.decode(text_ids, skip_special_tokens=True)).split("\n", 1)[0]


@dataclass(frozen=True, kw_only=True)
class _ReadPrompt:
    """A prompt after its pass: each layer's keys and values, (1, heads, tokens, head size), and the next token."""

    states: list[tuple[torch.Tensor, torch.Tensor]]
    next_id: int

    @property
    def length(self) -> int:
        return self.states[0][0].shape[2]


def _padded(prompts: Sequence[_ReadPrompt]) -> tuple[DynamicCache, torch.Tensor]:
    """The prompts side by side, padded on the left; the mask is (prompts, tokens), 1 where a token stands."""
    longest = max(prompt.length for prompt in prompts)
    padding = [longest - prompt.length for prompt in prompts]
    cache = DynamicCache()
    for layer in range(len(prompts[0].states)):
        keys, values = (
            torch.cat([pad(p.states[layer][part], (0, 0, left, 0)) for p, left in zip(prompts, padding, strict=True)])
            for part in (0, 1)
        )
        cache.update(keys, values, layer)
    return cache, torch.tensor([[0] * left + [1] * (longest - left) for left in padding])
