"""Latency, index and memory as the repository and the prompt grow.

    python -m benchmarks.growth BUNDLE REPO

Repositories of 10 thousand and 1 million lines are made of REPO's own code, copied with its names changed. The index
reaches its limit within the larger one: of more lines it would be the same. Each gets its index of drafts, and the same
held-out lines are typed with each, in turns, so that a slow moment of the machine hits all of them. Prompts of 256 to
4,096 tokens are read from nothing, and a step is timed behind each. Writes benchmarks/results/growth.json.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.builds import write_result
from builder.corpus.corpus import read_corpus
from contract.bundle.bundle import read_bundle
from contract.bundle.drafts import MAX_TOKENS, build_index, open_index, write_index
from laboratory.bench.workload import WorkloadSettings, make_workload
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.greedy import GreedyTokens
from lsp_server.decoding.huge_pages import use_huge_pages
from lsp_server.decoding.speculation import Drafter
from lsp_server.options import PATIENT
from lsp_server.request import CompletionRequest

LINES = (10_000, 1_000_000)
PROMPTS = (256, 512, 1024, 2048, 4096)
ROUNDS = 5
_NAME = re.compile(r"\b[a-z_][a-z0-9_]{5,}\b")


def main() -> None:
    """Index, type, read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--typed", type=int, default=30, help="held-out lines")
    arguments = parser.parse_args()
    engine = Engine(read_bundle(arguments.bundle))
    use_huge_pages()
    texts = [file.text for file in read_corpus(arguments.repository).learned if file.is_code]
    with tempfile.TemporaryDirectory() as room:
        repositories = [_index(engine, texts, lines, Path(room) / str(lines)) for lines in LINES]
        _type(engine, repositories, arguments.repository, arguments.typed)
        document = {
            "command": f"python -m benchmarks.growth BUNDLE {arguments.repository.name}",
            "repositories": [{key: one[key] for key in one if key != "folder"} for one in repositories],
            "prompts": _read_prompts(engine, texts),
        }
    write_result("growth", document)


def _index(engine: Engine, texts: list[str], lines: int, folder: Path) -> dict[str, Any]:
    """The drafts of a repository of so many lines, on disk; what is beyond MAX_TOKENS is not read."""
    encoder, read = engine.encoder, 0

    def sequences() -> Iterator[list[int]]:
        nonlocal read
        copy = tokens = 0
        while read < lines and tokens < MAX_TOKENS:
            for text in texts:
                ids = encoder.text_ids(_renamed(text, copy))
                read += text.count("\n") + 1
                tokens += len(ids) + 1
                yield ids
                if read >= lines:
                    break
            copy += 1

    started = time.perf_counter()
    write_index(build_index(sequences()), folder)
    return {
        "lines": lines,
        "lines_indexed": min(read, lines),
        "index_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "index_s": round(time.perf_counter() - started, 1),
        "folder": folder,
    }


def _renamed(text: str, copy: int) -> str:
    """The text with every longer name changed, so that copies are no repetitions."""
    return _NAME.sub(lambda match: f"{match.group()[:3]}{copy}_{match.group()[3:]}", text) if copy else text


def _type(engine: Engine, repositories: list[dict[str, Any]], repository: Path, lines: int) -> None:
    """Adds each repository's milliseconds of a keystroke, and the memory that its look-ups took."""
    workload = make_workload(repository, WorkloadSettings(passages=lines, lines=1))
    drafters = [Drafter(open_index(one["folder"])) for one in repositories]
    times: list[list[float]] = [[] for _ in repositories]
    grown = [0 for _ in repositories]
    completer = Completer(engine)
    for line in workload.passages:
        for number, drafter in enumerate(drafters):
            engine.drafter = drafter
            engine.memory.clear()
            before = psutil.Process().memory_info().rss
            for stroke in line:
                text = stroke.before + stroke.behind
                request = CompletionRequest(text=text, offset=len(stroke.before), path=stroke.path, options=PATIENT)
                started = time.perf_counter()
                completer.complete(request)
                times[number].append((time.perf_counter() - started) * 1000)
            grown[number] += psutil.Process().memory_info().rss - before
    for one, milliseconds, memory in zip(repositories, times, grown, strict=True):
        one["keystroke_ms_p50"], one["keystroke_ms_p95"] = np.percentile(milliseconds, (50, 95)).round(1).tolist()
        one["memory_grown_bytes"] = memory
        shutil.rmtree(one["folder"], ignore_errors=True)


def _read_prompts(engine: Engine, texts: list[str]) -> list[dict[str, Any]]:
    ids = engine.encoder.text_ids("\n".join(texts))
    rows = []
    for length in PROMPTS:
        if length + ROUNDS >= min(engine.max_positions, len(ids)):
            break
        prompt_s, step_ms = [], []
        for number in range(ROUNDS):
            start = (number * length) % (len(ids) - length)
            engine.memory.clear()
            tokens = iter(GreedyTokens(engine.decoder, ids[start : start + length], 0, lambda: False))
            began = time.perf_counter()
            next(tokens)
            read = time.perf_counter()
            for _ in range(4):
                next(tokens)
            prompt_s.append(read - began)
            step_ms.append((time.perf_counter() - read) * 250)
        rows.append(
            {
                "prompt_tokens": length,
                "prompt_ms": round(1000 * median(prompt_s), 1),
                "step_ms": round(median(step_ms), 2),
            }
        )
    return rows


if __name__ == "__main__":
    main()
