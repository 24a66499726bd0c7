"""A predictor as a completer for benchmarks that run programs: writes requests in the model's prompt format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from builder.evaluation.scoring import Predictor, without_indentation
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

        taken = [self._taken_back(request) for request in requests]

        def is_done(index: int, text: str) -> bool:
            answer = self._mend(requests[index], taken[index], text)
            return len(requests[index].cut(answer)) < len(answer)

        texts = self._predictor.generate(
            [self._encode(request, start) for request, start in zip(requests, taken, strict=True)],
            on_done,
            max_new_tokens=max(request.max_new_tokens for request in requests),
            is_done=is_done,
        )
        return [self._mend(*one) for one in zip(requests, taken, texts, strict=True)]

    def _taken_back(self, request: ProgramRequest) -> str:
        """Return the end of the prefix that the model writes again, as the server has it."""
        encoder = self._predictor.encoder
        return "" if request.suffix is None or encoder.drops_indentation else encoder.taken_back(request.prefix)

    def _encode(self, request: ProgramRequest, taken: str) -> list[int]:
        """Return the whole prefix, left to right; with a suffix, the window that an editor would send."""
        encoder = self._predictor.encoder
        if request.suffix is None:
            return encoder.left_to_right(request.prefix)
        prefix = request.prefix.removesuffix(taken)
        return encoder.encode(encoder.window(prefix + request.suffix, len(prefix)), path=request.path)

    def _mend(self, request: ProgramRequest, taken: str, text: str) -> str:
        """Return a text from the cursor on, "" if it does not begin with what was taken back, as scoring has it."""
        if request.suffix is not None and self._predictor.encoder.drops_indentation:
            return without_indentation(text, request.prefix)
        return text[len(taken) :] if text.startswith(taken) else ""
