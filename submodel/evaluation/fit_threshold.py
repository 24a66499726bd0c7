"""The confidence threshold of a bundle: its server's own answers on lines that the build did not learn from.

The build asks for validation lines, so that what is reported on held-out ones stays honest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from builder.evaluation.metrics import is_exact
from builder.fim_examples import FimExample
from contract.bundle.threshold import ConfidenceThreshold, fit_curve
from lsp_server.options import AT_ONCE
from lsp_server.request import Completion, CompletionRequest


class CompletesText(Protocol):
    """`lsp_server.completion.Completer`, or what stands in for it."""

    def complete(self, request: CompletionRequest) -> Completion:
        """What the server would show at the request's cursor."""


def fit_threshold(
    completer: CompletesText,
    fim_examples: Sequence[FimExample],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ConfidenceThreshold:
    """Ask for each example and fit the curve. Right is an answer that is the rest of the line, white space aside.

    The answers come from short prompts. Their threshold serves whole prompts as well, in a quarter of the time
    (docs/LOG.md).
    """
    answers = []
    for index, example in enumerate(fim_examples):
        request = CompletionRequest(text=example.text, offset=example.offset, path=example.file.path, options=AT_ONCE)
        completion = completer.complete(request)
        if completion.text and completion.confidence is not None:
            answers.append((completion.confidence, is_exact(completion.text, example.middle)))
        on_progress(index + 1, len(fim_examples))
    return fit_curve(answers, len(fim_examples))
