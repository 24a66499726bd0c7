"""The bundle as a predictor: scored through the engine that serves it, so that the figures are those of the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from exporters.bundle import Bundle
from lsp_server.engine import Engine


class BundlePredictor:
    """Implements `builder.evaluation.scoring.Predictor`; also keeps each answer's time."""

    name = "bundle"

    def __init__(self, bundle: Bundle) -> None:
        self._engine = Engine(bundle)
        self.encoder = self._engine.encoder
        self.parameters = int(bundle.manifest["parameters"])
        self.bytes = bundle.model_path.stat().st_size
        self.milliseconds: list[float] = []  # a prompt each, in the order of the last `complete`

    def nats(self, ids: Sequence[int]) -> float:
        """Summed negative log-likelihood of ids[1:]."""
        logits = self._engine.all_logits(ids)[:-1].astype(np.float64)  # (tokens − 1, vocabulary)
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(axis=1))
        return float((log_sum - logits[np.arange(len(logits)), np.asarray(ids[1:])]).sum())

    def complete(
        self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None], *, lines: int = 1
    ) -> list[str]:
        """Greedy lines, one prompt after the other, as an editor asks."""
        self.milliseconds = []
        answers = []
        for prompt in prompts:
            # The start of a file without a suffix has an empty prompt.
            generation = self._engine.generate(prompt, lines=lines) if prompt else None
            answers.append(generation.text if generation else "")
            self.milliseconds.append(generation.milliseconds if generation else 0.0)
            on_done(1)
        return answers
