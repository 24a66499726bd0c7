"""Models that are played, and a service in which one of them counts as loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lsp_server.loaded_bundles import BundleState, BundleStatus
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService

BUNDLE = Path("/bundle")


def use(service: CompletionService, completer: object, bundle: Path = BUNDLE) -> None:
    """As if the bundle had been loaded."""
    service._loaded.completers[bundle] = completer  # type: ignore[assignment]
    service.states.set(bundle, BundleStatus(state=BundleState.READY))


class SlowCompleter:
    """Answers with the request's text once it is released. Stops on request, as an engine does between two tokens."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.asked: list[CompletionRequest] = []
        self.is_started = threading.Event()
        self.release = threading.Event()

    def complete(self, request: CompletionRequest, stop: Callable[[], bool]) -> Completion:
        text = request.text
        self.asked.append(request)
        self.started.append(text)
        self.is_started.set()
        while not self.release.wait(0.001):
            if stop():
                self.stopped.append(text)
                return Completion(text="", rule="cancelled")
        return Completion(text=f"answer to {text}")

    def read_ahead(
        self,
        request: CompletionRequest,
        stop: Callable[[], bool],
        first_key: CompletionRequest | None,
        on_answer: Callable[[Completion], None],
        is_short_enough: bool,
    ) -> int:
        """Chunk after chunk, without end."""
        text = request.text
        if first_key is not None:
            on_answer(Completion(text=f"answer to {first_key.text}"))
        self.started.append(f"{text}, the short prompt" if is_short_enough else text)
        self.is_started.set()
        while not stop():
            self.release.wait(0.001)
        self.stopped.append(text)
        return 1
