"""Completions for an event loop: one worker thread that owns the model, where the newest request wins.

It knows nothing of the protocol. The worker's queue does the waiting: a request that comes while the model loads is
answered after it, and an older one that is still running is stopped at its next token.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import SubmodelError
from lsp_server.options import ServerOptions

if TYPE_CHECKING:
    from lsp_server.completion import Completer, Completion

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A place in a document, as it was when it was asked for."""

    text: str
    offset: int
    path: str = ""
    language_id: str | None = None
    options: ServerOptions = field(default_factory=ServerOptions)


class CompletionService:
    """All methods are called from the event loop's thread."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="completion")
        self._completer: Completer | None = None  # the worker's
        self._newest = threading.Event()  # set: the request that it belongs to is not wanted any more

    def load(self, bundle_folder: Path, threads: int | None) -> Future[None]:
        """Load a bundle in the worker. The future raises a SubmodelError where that fails; answers are then empty."""
        return self._worker.submit(self._load, bundle_folder, threads)

    async def complete(self, question: Question) -> Completion | None:
        """What to show there; None where there is no model, or a newer request.

        Cancelling the task stops the model at its next token.
        """
        self._newest.set()
        unwanted = self._newest = threading.Event()
        answer = self._worker.submit(self._complete, question, unwanted)
        try:
            return await asyncio.wrap_future(answer)
        finally:
            unwanted.set()

    def close(self) -> None:
        """Stop what runs and let the worker end."""
        self._newest.set()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _load(self, bundle_folder: Path, threads: int | None) -> None:
        # Here and not above: loading ONNX Runtime takes longer than answering `initialize`, which need not wait.
        from lsp_server.completion import open_completer

        self._completer = open_completer(bundle_folder, threads=threads)
        log.info("Serving %s", bundle_folder)

    def _complete(self, question: Question, unwanted: threading.Event) -> Completion | None:
        if self._completer is None or unwanted.is_set():
            return None
        try:
            answer = self._completer.complete(
                question.text,
                question.offset,
                path=question.path,
                language_id=question.language_id,
                options=question.options,
                stop=unwanted.is_set,
            )
        except SubmodelError as error:
            log.error("No completion: %s", error)
            return None
        log.debug("%d tokens in %.0f ms", answer.tokens, answer.milliseconds)
        return answer
