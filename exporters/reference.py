"""The checkpoint's own answers, in float32 through transformers: the reference of the parity check.

One pass with a KV cache gives the log-probabilities of the prompt and of the text that really followed, the model's own
greedy continuation, and, for a few prompts, logits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from builder.nats import head_nats, nats_by_parts
from contract.progress import OnProgress
from exporters.checkpoint_reader import FloatArray

MAX_PADDING = 1_000  # tokens by which one more prompt may pad a batch: a further batch costs a continuation of its own


@dataclass(frozen=True, kw_only=True)
class ParityPrompt:
    """A prompt as the server sends it and the text that really followed, as token ids."""

    prompt_ids: tuple[int, ...]
    truth_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The float32 model's answers to one prompt."""

    prompt: ParityPrompt
    greedy_ids: tuple[int, ...]  # its own continuation, up to and with the first token that ends a completion
    log_probabilities: FloatArray  # (prompt + truth tokens − 1,), of each token but the first given those before, nats
    logits: FloatArray | None  # (last prompt positions, vocabulary), for some prompts only


@torch.inference_mode()
def compute_references(
    model: PreTrainedModel,
    prompts: Sequence[ParityPrompt],
    *,
    continuation_tokens: int,
    stop_ids: Collection[int],
    logit_prompts: Collection[int],
    logit_positions: int,
    batch_size: int,
    on_progress: OnProgress,
) -> list[Reference]:
    """Return the references of `prompts`, in their order.

    `model` is in float32 and in evaluation mode. `logit_prompts` are the indices of the prompts that keep logits, of
    their last `logit_positions` positions. Prompts are batched by length, so that there is little padding.
    `on_progress` gets the prompts that are done, and all, after each batch.
    """
    references: dict[int, Reference] = {}
    for batch in batches_by_length([len(prompt.prompt_ids) for prompt in prompts], batch_size):
        kept = [logit_positions if index in logit_prompts else 0 for index in batch]
        answers = _ReferenceBatch(model, [prompts[index] for index in batch]).answer(
            continuation_tokens, stop_ids, kept
        )
        references.update(zip(batch, answers, strict=True))
        on_progress(len(references), len(prompts))
    return [references[index] for index in range(len(prompts))]


def batches_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return the indices of `lengths`, the shortest first, in batches of at most `size` that are padded little.

    A length that would pad the batch before it by more than MAX_PADDING tokens starts another batch.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        batch = batches[-1] if batches else []
        if not batch or len(batch) == size or len(batch) * (lengths[index] - longest) > MAX_PADDING:
            batches.append([])
        batches[-1].append(index)
        longest = lengths[index]
    return batches


class _ReferenceBatch:
    """Prompts padded on the left, so that all of them end at the same position."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[ParityPrompt]) -> None:
        self.model = model
        self.prompts = prompts
        self.cache = DynamicCache()
        self.ids = _pad([prompt.prompt_ids for prompt in prompts], on_left=True)  # (prompts, longest)
        self.length = self.ids.shape[1]
        lengths = torch.tensor([len(prompt.prompt_ids) for prompt in prompts])
        self.lengths = lengths[:, None]
        self.mask = (torch.arange(self.length)[None] >= self.length - self.lengths).long()

    def answer(self, tokens: int, stop_ids: Collection[int], kept: Sequence[int]) -> list[Reference]:
        hidden = self._forward(self.ids, torch.arange(self.length)[None] - (self.length - self.lengths))
        last = self._logits(hidden[:, -1:])[:, 0]  # (prompts, vocabulary)
        texts = [self._prompt_part(row, hidden[row], kept[row]) for row in range(len(self.prompts))]
        truths = self._truth_parts(last)
        self.cache.crop(self.length)
        continuations = self._continue(last.argmax(-1), tokens, stop_ids)
        return [
            Reference(
                prompt=prompt,
                greedy_ids=_until_stop(continuation, stop_ids),
                log_probabilities=np.concatenate([text, truth]),
                logits=logits,
            )
            for prompt, (text, logits), truth, continuation in zip(
                self.prompts, texts, truths, continuations, strict=True
            )
        ]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return the hidden states (prompts, tokens, hidden) of new tokens; the cache grows by them."""
        past = self.cache.get_seq_length()
        new = torch.ones((len(self.prompts), past + ids.shape[1] - self.length), dtype=torch.long)
        hidden: torch.Tensor = self.model.get_decoder()(
            input_ids=ids,
            attention_mask=torch.cat([self.mask, new], dim=1),
            position_ids=positions.clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.get_output_embeddings()(hidden)
        return logits

    def _prompt_part(self, row: int, hidden: torch.Tensor, kept: int) -> tuple[FloatArray, FloatArray | None]:
        """Return the log-probabilities of one prompt's tokens, and the logits of its last `kept` positions."""
        ids = torch.tensor(self.prompts[row].prompt_ids)
        hidden = hidden[-len(ids) :]
        log_probabilities: FloatArray = -head_nats(self.model, hidden[:-1], ids[1:]).numpy()
        return log_probabilities, self._logits(hidden[-kept:]).numpy() if kept else None

    def _truth_parts(self, last: torch.Tensor) -> list[FloatArray]:
        """Return the log-probabilities of the tokens that really followed each prompt."""
        truths = [prompt.truth_ids for prompt in self.prompts]
        ids = _pad(truths, on_left=False)
        hidden = self._forward(ids, self.lengths + torch.arange(ids.shape[1])[None])
        parts = []
        for row, truth in enumerate(truths):
            logits = torch.cat([last[row : row + 1], self._logits(hidden[row, : max(len(truth) - 1, 0)])])
            parts.append(token_log_probabilities(logits[: len(truth)], torch.tensor(truth, dtype=torch.long)))
        return parts

    def _continue(self, first: torch.Tensor, tokens: int, stop_ids: Collection[int]) -> list[list[int]]:
        """Return greedy continuations (prompts, tokens at most), whose first token is known.

        They end together, once each has a stop id.
        """
        chosen = [first]
        stops = torch.tensor(sorted(stop_ids), dtype=first.dtype)
        has_ended = torch.isin(first, stops)
        for step in range(tokens - 1):
            if has_ended.all():
                break
            hidden = self._forward(chosen[-1][:, None], self.lengths + step)
            chosen.append(self._logits(hidden[:, -1]).argmax(-1))
            has_ended |= torch.isin(chosen[-1], stops)
        continuations: list[list[int]] = torch.stack(chosen, dim=1).tolist()
        return continuations


def token_log_probabilities(logits: torch.Tensor, ids: torch.Tensor) -> FloatArray:
    """Return the natural log of the probability that each row of `logits` (tokens, vocabulary) gives to its id."""
    result: FloatArray = -nats_by_parts(lambda rows: rows, logits, ids).numpy()
    return result


def _pad(sequences: Sequence[Sequence[int]], *, on_left: bool) -> torch.Tensor:
    longest = max(1, *map(len, sequences))
    padded: NDArray[np.int64] = np.zeros((len(sequences), longest), np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        if sequence and on_left:
            row[-len(sequence) :] = sequence
        else:
            row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


def _until_stop(ids: Sequence[int], stop_ids: Collection[int]) -> tuple[int, ...]:
    """Return the ids up to and with the first stop id: what follows the end of a text is noise."""
    for index, token_id in enumerate(ids):
        if token_id in stop_ids:
            return tuple(ids[: index + 1])
    return tuple(ids)
