"""A transformers model as a predictor: batches of prompts, greedy, up to the end of the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from builder.prompt import PromptEncoder
from builder.pruning.plan import count_parameters


class TorchPredictor:
    """Implements `builder.evaluation.scoring.Predictor`."""

    def __init__(
        self, name: str, model: PreTrainedModel, encoder: PromptEncoder, *, max_new_tokens: int = 48, batch: int = 16
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
        self._end_ids = sorted(newlines | encoder.stop_ids)

    @torch.inference_mode()
    def nats(self, ids: Sequence[int]) -> float:
        """Summed negative log-likelihood of ids[1:]; logits are taken to float32 first."""
        tokens = torch.tensor([list(ids)])
        logits = self.model(tokens, use_cache=False).logits[0, :-1].float()
        return float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum"))

    @torch.inference_mode()
    def complete_lines(self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None]) -> list[str]:
        """Greedy lines; prompts of like length share a batch, padded on the left."""
        answers = [""] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            longest = max(len(prompts[i]) for i in chosen)
            ids = torch.zeros(len(chosen), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(chosen):
                ids[row, longest - len(prompts[i]) :] = torch.tensor(list(prompts[i]))
                mask[row, longest - len(prompts[i]) :] = 1
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=self._max_new_tokens,
                eos_token_id=self._end_ids,
                pad_token_id=self._end_ids[0],
                temperature=None,
                top_p=None,
                top_k=None,
            )
            for row, i in enumerate(chosen):
                answers[i] = self._line(output[row, longest:].tolist())
            on_done(len(chosen))
        return answers

    def _line(self, ids: Sequence[int]) -> str:
        text_ids: list[int] = []
        for token_id in ids:
            if token_id in self.encoder.stop_ids:
                break
            text_ids.append(token_id)
        return str(self.encoder.tokenizer.decode(text_ids, skip_special_tokens=True)).split("\n", 1)[0]
