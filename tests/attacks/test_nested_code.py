"""Source files that nest deeper than Python's stack, as generated code does: they cost no completions elsewhere.

They succeed as attacks on 63ec2ff: the syntax filter raised RecursionError, which counted as a crash of the model;
after three of them it was given up for all files. On de82a37 the time to see whether a cursor stands in a comment grew
with the square of the depth: some minutes for 30,000 brackets.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lsp_server.loaded_bundles import MAX_CRASHES, BundleState
from lsp_server.request import Completion, CompletionRequest
from lsp_server.serve_errors import ServeError
from lsp_server.service import CompletionService
from lsp_server.syntax.grammars import find_grammar
from lsp_server.syntax.parsed_text import ParsedText, begins_block

DEPTH = 3000
NESTED = {
    "brackets.py": "x = " + "[" * DEPTH + "1 $ 2" + "]" * DEPTH,
    "blocks.py": "".join(" " * depth + "if a:\n" for depth in range(400)) + " " * 400 + "x $ y\n",
    "chain.c": "void f() { if (a) {} " + "else if (a) {} " * DEPTH + "else if (a { } }",
    "open.js": "(" * DEPTH + "x",
}


@pytest.mark.parametrize("name", NESTED)
def test_errors_of_nested_code_are_counted(name: str) -> None:
    grammar = find_grammar(name, None)
    assert grammar is not None
    assert ParsedText(NESTED[name], grammar).errors() > 0
    begins_block(NESTED[name] + "\n", len(NESTED[name]) + 1, grammar)


@pytest.mark.slow
def test_looking_around_a_cursor_takes_no_time_by_the_square_of_the_depth() -> None:
    program = """
from lsp_server.syntax.grammars import find_grammar
from lsp_server.syntax.parsed_text import ParsedText
text = "x = " + "[" * 30_000 + "1" + "]" * 30_000
assert not ParsedText(text, find_grammar("a.py", None)).is_comment_at(30_005)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)  # of some seconds


def test_a_fault_of_what_reads_a_document_costs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Completer:
        choice: Any = type("Choice", (), {"provider": "cpu", "why": "it is here"})()
        build = ""

        def complete(self, request: CompletionRequest, stop: object) -> Completion:
            if request.text == "deep":
                raise RecursionError("maximum recursion depth exceeded")
            return Completion(text="fine")

    loaded: list[Path] = []

    def load(folder: Path, **_: object) -> Completer:
        loaded.append(folder)
        return Completer()

    monkeypatch.setattr("lsp_server.completion.open_completer", load)
    service, bundle = CompletionService(), Path("/w/bundle")

    async def ask(text: str) -> str:
        try:
            answer = await service.complete(CompletionRequest(text=text, offset=0, bundle=bundle))
        except ServeError as error:
            return str(error)
        return answer.text if answer else ""

    async def test() -> list[str]:
        return [await ask(text) for text in ["deep"] * MAX_CRASHES + ["healthy"]]

    try:
        *deep, healthy = asyncio.run(test())
    finally:
        service.close()
    assert set(deep) == {"Nothing can be completed here (maximum recursion depth exceeded); please report this."}
    assert healthy == "fine"
    assert service.bundles[bundle].state is BundleState.READY
    assert len(loaded) == 1
