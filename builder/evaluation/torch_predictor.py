"""A transformers model as a predictor: greedy lines for many prompts.

Not `generate`: that pads all prompts to one length before it reads them, and keeps finished ones in the batch until the
slowest one ends, which triples the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import pad
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel, StaticCache

from builder.bases.folder_model import head_size
from builder.batches import in_batches
from builder.evaluation.attention import grouped
from builder.nats import head_nats
from builder.pruning.plan import count_parameters
from contract.prompt import PromptEncoder


class TorchPredictor:
    """Implements `builder.evaluation.scoring.Scorable`."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        encoder: PromptEncoder,
        *,
        line_tokens: int = 32,
        # Of the keys and values of a batch's prompts: 0.8 GB in float32; 32,768 tokens of Qwen2.5-Coder-0.5B.
        batch_numbers: int = 32_768 * 6_144,
    ) -> None:
        self.name = name
        self.model = model
        self.encoder = encoder
        self.parameters = count_parameters(model)
        self.bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self._line_tokens = line_tokens
        self._batch_tokens = max(1, batch_numbers // numbers_a_token(model.config))

    @cached_property
    def _newlines(self) -> Sequence[int]:
        """Line breaks in the text of each token. The text of a row that no token has is empty."""
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        decode = self.encoder.tokenizer.decode
        return [decode([i], skip_special_tokens=False).count("\n") for i in range(vocabulary)]

    @torch.inference_mode()
    def nats(self, ids: Sequence[int]) -> float:
        """Summed negative log-likelihood of ids[1:]; logits are taken to float32 first."""
        return self.nats_after(ids, 1)

    @torch.inference_mode()
    def nats_after(self, ids: Sequence[int], start: int) -> float:
        """The same of ids[start:], given all that precedes; 0 < start ≤ len(ids)."""
        tokens = torch.tensor([list(ids)])
        hidden = self.model.get_decoder()(tokens, use_cache=False).last_hidden_state[0, start - 1 : -1]
        return float(head_nats(self.model, hidden, tokens[0, start:]).sum())

    @torch.inference_mode()
    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        on_done: Callable[[int], None],
        *,
        lines: int = 1,
        starts: Sequence[str] = (),
    ) -> list[str]:
        """Greedy lines. An empty prompt has an empty answer. `starts` are left to the model."""
        answers = [""] * len(prompts)
        asked = [i for i, prompt in enumerate(prompts) if prompt]
        on_done(len(prompts) - len(asked))
        order = sorted(asked, key=lambda i: len(prompts[i]))  # so that a batch is padded little
        with grouped(self.model):
            for chosen in in_batches(order, self._batch_tokens, lambda i: len(prompts[i])):
                read: list[_ReadPrompt] = []
                for index in chosen:
                    read.append(self._read(prompts[index]))
                    on_done(1)
                continuations = self._continue(
                    read, self._line_tokens * lines, lambda _, ids: sum(self._newlines[i] for i in ids) >= lines
                )
                for index, ids in zip(chosen, continuations, strict=True):
                    answers[index] = "\n".join(self._text(ids).split("\n")[:lines])
        return answers

    def _read(self, prompt: Sequence[int]) -> _ReadPrompt:
        cache = DynamicCache()
        logits = self.model(
            torch.tensor([list(prompt)]), past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[0]
        return _ReadPrompt(
            states=[(layer.keys, layer.values) for layer in cache.layers],
            length=len(prompt),
            next_id=int(logits[0].argmax()),
        )

    def _continue(
        self, prompts: Sequence[_ReadPrompt], limit: int, is_ended: Callable[[int, Sequence[int]], bool]
    ) -> list[list[int]]:
        """Greedy continuations, each up to and with the token that ends it, or `limit` tokens."""

        def goes_on(row: int) -> bool:
            ids = continuations[row]
            return ids[-1] not in self.encoder.stop_ids and not is_ended(row, ids)

        continuations = [[prompt.next_id] for prompt in prompts]
        rows = [row for row in range(len(prompts)) if goes_on(row)]
        if not rows:
            return continuations
        slot = max(prompts[row].length for row in rows)
        batch = _Batch([prompts[row] for row in rows], self.model, slot, slot + limit)
        going = torch.ones(len(rows), dtype=torch.bool)
        for step in range(limit - 1):
            tokens = batch.step(slot + step)
            for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if going[place]:
                    continuations[row].append(token)
                    going[place] = goes_on(row)
            if not going.any():
                break
            # Leaving copies the cache, staying costs a row's work: go together.
            if going.sum() <= 0.75 * len(rows):
                batch.keep(going)
                rows = [row for row, stays in zip(rows, going.tolist(), strict=True) if stays]
                going = torch.ones(len(rows), dtype=torch.bool)
        return continuations

    def _text(self, ids: Sequence[int]) -> str:
        stop = next((place for place, i in enumerate(ids) if i in self.encoder.stop_ids), len(ids))
        return str(self.encoder.tokenizer.decode(ids[:stop], skip_special_tokens=True))


def numbers_a_token(config: PretrainedConfig) -> int:
    """Return how many numbers the keys and values of a token are, in all layers together."""
    return int(config.num_hidden_layers * 2 * config.num_key_value_heads * head_size(config))


@dataclass(frozen=True, kw_only=True)
class _ReadPrompt:
    """A prompt after its pass: each layer's keys and values, (1, heads, tokens, head size), and the next token.

    A batch takes the states away layer by layer, so that they do not lie in memory twice.
    """

    states: list[tuple[torch.Tensor, torch.Tensor]]
    length: int  # tokens
    next_id: int


class _Batch:
    """Prompts side by side, padded on the left, in one cache that is not copied from token to token."""

    def __init__(self, prompts: Sequence[_ReadPrompt], model: PreTrainedModel, length: int, room: int) -> None:
        padding = [length - prompt.length for prompt in prompts]
        self._model = model
        self._cache = StaticCache(config=model.config, max_cache_len=room)
        places = {"cache_position": torch.arange(length)}
        for layer in range(len(prompts[0].states)):
            read = [prompt.states.pop(0) for prompt in prompts]
            keys, values = (
                torch.cat([pad(one[part], (0, 0, left, 0)) for one, left in zip(read, padding, strict=True)])
                for part in (0, 1)
            )
            self._cache.update(keys, values, layer, places)
        self._mask = torch.zeros(len(prompts), 1, 1, room, dtype=torch.bool)  # rows, heads, new tokens, slots
        for row, left in enumerate(padding):
            self._mask[row, :, :, left:length] = True
        self._ids = torch.tensor([[prompt.next_id] for prompt in prompts])
        self._positions = torch.tensor([[prompt.length] for prompt in prompts])

    def step(self, slot: int) -> torch.Tensor:
        """Read each row's last token, which goes to `slot` of the cache; the next tokens, (rows,)."""
        self._mask[..., slot] = True
        logits = self._model(
            self._ids,
            attention_mask=self._mask,
            position_ids=self._positions,
            cache_position=torch.tensor([slot]),
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        tokens: torch.Tensor = logits.argmax(dim=1)
        self._ids = tokens[:, None]
        self._positions = self._positions + 1
        return tokens

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the other rows; rows: (rows,) bool."""
        self._ids, self._positions, self._mask = self._ids[rows], self._positions[rows], self._mask[rows]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
