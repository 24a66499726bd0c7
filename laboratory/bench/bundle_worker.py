"""Our own engine as a worker, driven as the peers are: `python -m laboratory.bench.bundle_worker '{"bundle": …}'`."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from contract.bundle.bundle import read_bundle
from laboratory.bench.llama_cpp_worker import answer_requests
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine, GreedyTokens
from lsp_server.decoding.huge_pages import use_huge_pages
from lsp_server.options import PATIENT
from lsp_server.request import CompletionRequest


class BundleWorker:
    """The product's engine, with its drafts or without.

    It reads the whole window, however long that takes.
    """

    def __init__(self, bundle: str, threads: int, has_drafts: bool) -> None:
        started = time.perf_counter()
        self.engine = Engine(read_bundle(Path(bundle), verify=False), threads=threads)
        self.completer = Completer(self.engine)
        use_huge_pages()  # as the server does in another thread once a model is loaded
        self.load_s = time.perf_counter() - started
        self.reads_suffix = self.engine.encoder.prompt_format.is_fim
        if not has_drafts:
            self.engine.drafter = None

    def complete(self, before: str, behind: str, path: str = "") -> dict[str, Any]:
        """Return the rest of the line, with all that the product does for it; the path tells the language."""
        started = time.perf_counter()
        completion = self.completer.complete(
            CompletionRequest(text=before + behind, offset=len(before), path=path, options=PATIENT)
        )
        milliseconds = (time.perf_counter() - started) * 1000
        return {"text": completion.text, "tokens": completion.tokens, "milliseconds": milliseconds}

    def speed(self, text: str, prompt_tokens: int, decode_tokens: int) -> dict[str, Any]:
        """Call `measure_speed`. What drafts bring is in the times of keystrokes."""
        return measure_speed(self.engine, text, prompt_tokens, decode_tokens)


def measure_speed(engine: Engine, text: str, prompt_tokens: int, decode_tokens: int) -> dict[str, Any]:
    """Measure the seconds that a prompt takes from an empty cache, and those of plain steps after it.

    The steps go on past the end of the text. A model repeats itself there, so that drafts would be right too often.
    """
    ids = engine.encoder.text_ids(text)[:prompt_tokens]
    engine.memory.clear()
    started = time.perf_counter()
    tokens = iter(GreedyTokens(engine.decoder, ids, 0, lambda: False))
    next(tokens)
    read = time.perf_counter()
    count = sum(1 for _ in islice(tokens, decode_tokens))
    done = time.perf_counter()
    return {
        "prompt_tokens": len(ids),
        "prompt_characters": len(engine.encoder.tokenizer.decode(ids)),
        "prompt_s": read - started,
        "decode_tokens": count,
        "decode_s": done - read,
    }


if __name__ == "__main__":
    answer_requests(BundleWorker(**json.loads(sys.argv[1])), {})
