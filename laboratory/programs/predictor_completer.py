"""A predictor as a completer for benchmarks that run programs: writes requests in the model's prompt format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from builder.evaluation.scoring import Predictor
from laboratory.programs.completer import ProgramRequest


class PredictorCompleter:
    """Implements `laboratory.programs.completer.ProgramCompleter`."""

    def __init__(self, predictor: Predictor) -> None:
        self.name = predictor.name
        self._predictor = predictor

    def complete(self, requests: Sequence[ProgramRequest], on_done: Callable[[int], None]) -> list[str]:
        """Return greedy answers in the order of the requests."""
        if not requests:
            return []

        def is_done(index: int, text: str) -> bool:
            return len(requests[index].cut(text)) < len(text)

        return self._predictor.generate(
            [self._encode(request) for request in requests],
            on_done,
            max_new_tokens=max(request.max_new_tokens for request in requests),
            is_done=is_done,
        )

    def _encode(self, request: ProgramRequest) -> list[int]:
        """Return the whole prefix, left to right; with a suffix, the window that an editor would send."""
        encoder = self._predictor.encoder
        if request.suffix is None:
            return encoder.left_to_right(request.prefix)
        return encoder.encode(encoder.window(request.prefix + request.suffix, len(request.prefix)))
