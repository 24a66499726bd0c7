"""The bundle as a predictor: scored through the engine that serves it, so that the figures are those of the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.bundle.bundle import Bundle
from contract.documents import SUB_MODEL
from lsp_server.decoding.engine import Engine


class BundlePredictor:
    """Implements `builder.evaluation.scoring.Scorable`; also keeps each answer's time."""

    def __init__(self, bundle: Bundle, name: str = SUB_MODEL) -> None:
        self.name = name
        self._engine = Engine(bundle)
        self.encoder = self._engine.encoder
        self.parameters = int(bundle.manifest["parameters"])
        self.bytes = bundle.graph_bytes
        self.milliseconds: list[float] = []  # a prompt each, in the order of the last `complete`

    def nats(self, ids: Sequence[int]) -> float:
        """Summed negative log-likelihood of ids[1:]. A text with more tokens than positions is read piece by piece."""
        step = self._engine.max_positions - 1
        return sum(self._nats_of(ids[start : start + step + 1]) for start in range(0, len(ids) - 1, step))

    def _nats_of(self, ids: Sequence[int]) -> float:
        return nats_of(self._engine.all_logits(ids)[:-1], ids[1:])

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        on_done: Callable[[int], None],
        *,
        lines: int = 1,
        starts: Sequence[str] = (),
    ) -> list[str]:
        """Greedy lines, one prompt after the other, each at a place that was not read before.

        starts: what each answer has to begin with; by default nothing.
        """
        self.milliseconds = []
        answers = []
        for prompt, start in zip(prompts, starts or [""] * len(prompts), strict=True):
            self._engine.memory.clear()  # else prompts of one file that begin alike would be quick
            # The start of a file without a suffix has an empty prompt.
            generation = self._engine.generate(prompt, lines=lines, start=start) if prompt else None
            answers.append(generation.text if generation else "")
            self.milliseconds.append(generation.milliseconds if generation else 0.0)
            on_done(1)
        return answers


def nats_of(logits: NDArray[np.float32], token_ids: Sequence[int]) -> float:
    """The summed negative log-likelihood of tokens, given the logits that predict each, (tokens, vocabulary)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(len(shifted)), np.asarray(token_ids)]).sum())
