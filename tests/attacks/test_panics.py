"""A fault of the tokenizers library that is no Exception, on one text of many: each request is answered all the same.

Both tests succeed as attacks on 2e053804: the request stayed without an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer

from contract.errors import SubmodelError
from lsp_server.request import Completion, CompletionRequest
from lsp_server.service import CompletionService, Reading
from testbed.tokenizer import make_tokenizer
from tests.lsp_server.played_models import BUNDLE, use

STRIP = {"type": "Strip", "content": "Q", "start": 1, "stop": 2}  # reads before the beginning of "Q"


class PanickingCompleter:
    """Decodes the request's text, as any completer does."""

    def __init__(self) -> None:
        document = json.loads(make_tokenizer(300).to_str())
        self._tokenizer = Tokenizer.from_str(json.dumps({**document, "decoder": STRIP}))

    def complete(self, request: CompletionRequest, stop: Callable[[], bool]) -> Completion:
        return Completion(text=self._tokenizer.decode(self._tokenizer.encode(request.text).ids))

    def read_ahead(self, request: CompletionRequest, stop: Callable[[], bool], *_: object) -> int:
        self.complete(request, stop)
        return 1

    def recall(self, request: CompletionRequest) -> Completion:
        return self.complete(request, lambda: False)


def run(test: Callable[[CompletionService], object]) -> None:
    service = CompletionService()
    use(service, PanickingCompleter())
    try:
        asyncio.run(asyncio.wait_for(test(service), 60))  # type: ignore[arg-type]
    finally:
        service.close()


def ask(text: str) -> CompletionRequest:
    return CompletionRequest(text=text, offset=len(text), bundle=BUNDLE)


def test_a_request_is_answered_and_so_is_the_next() -> None:
    async def test(service: CompletionService) -> None:
        with pytest.raises(SubmodelError, match=r"library failed \(index out of bounds.*\); build the bundle again"):
            await service.complete(ask("Q"))
        answer = await service.complete(ask("x"))
        assert answer is not None and answer.text == "x"

    run(test)


def test_what_nobody_asked_for_ends_too() -> None:
    async def test(service: CompletionService) -> None:
        assert await service.read_ahead(ask("Q"), max_core_s=1.0) == Reading()
        assert await service.recall(ask("Q")) is None

    run(test)
