"""Who is asked: bundles in our engine, llama.cpp's server as llama.vscode asks it, and completers without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from benchmarks.yardstick.llama_vscode import LlamaServer
from benchmarks.yardstick.yardstick_plan import Repository
from builder.corpus.corpus import read_corpus
from builder.evaluation.baselines import NGram, complete_by_similar_line
from builder.fim_examples import FimExample
from contract.bundle.bundle import read_bundle
from contract.files.file_hash import hash_file
from laboratory.bench.workload import Keystroke
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.huge_pages import use_huge_pages
from lsp_server.options import PATIENT, ServerOptions
from lsp_server.request import CompletionRequest

# What the server shows by default, once a place was read ahead: with its display threshold, and blocks of lines.
_DEFAULT = ServerOptions()
AS_SHOWN = replace(_DEFAULT, trigger=replace(_DEFAULT.trigger, budget_ms=60_000, cold_ms=60_000))


class Rival(Protocol):
    """Something that completes a line."""

    @property
    def sha256(self) -> str:
        """Of the bundle's manifest, or of the file; "" without a model."""

    def prepare(self, stroke: Keystroke) -> None:
        """Forget the place before, and read what may be read before the cursor comes to the new one."""

    def complete(self, stroke: Keystroke) -> str:
        """Return what is shown; "" if that is nothing."""


@dataclass(frozen=True)
class BundleRival:
    """A bundle, through the product's completer. PATIENT shows each answer; AS_SHOWN what passes the threshold."""

    folder: Path
    options: ServerOptions

    @property
    def sha256(self) -> str:
        """Of the manifest, which has the hash of each file."""
        return _engine(self.folder)[1]

    def prepare(self, stroke: Keystroke) -> None:
        """Forget all texts."""
        _engine(self.folder)[0].memory.clear()

    def complete(self, stroke: Keystroke) -> str:
        """Return the text from the cursor on, several lines if the options allow them."""
        text = stroke.before + stroke.behind
        request = CompletionRequest(text=text, offset=len(stroke.before), path=stroke.path, options=self.options)
        return _engine(self.folder)[2].complete(request).text


@cache
def _engine(folder: Path) -> tuple[Engine, str, Completer]:
    """Return a bundle's engine once, for all rivals that it serves."""
    bundle = read_bundle(folder)
    engine = Engine(bundle)
    use_huge_pages()  # as the server does
    return engine, bundle.build, Completer(engine)


@dataclass(frozen=True)
class ModelFreeRival:
    """A completer without parameters. It knows the file before the cursor, and the files that the build learned."""

    of_example: Callable[[FimExample], str]
    sha256: str = ""

    def prepare(self, stroke: Keystroke) -> None:
        """Do nothing."""

    def complete(self, stroke: Keystroke) -> str:
        """Return the rest of the line."""
        return self.of_example(FimExample.of_parts(stroke.before, stroke.truth, stroke.behind, path=stroke.path))


def open_rival(spec: Mapping[str, Any], repository: Repository, stack: ExitStack) -> Rival:
    """Return the rival that a plan describes. What has to end, such as a server, ends with the stack."""
    if "bundle" in spec:
        return BundleRival(spec["bundle"], AS_SHOWN if spec.get("as_shown") else PATIENT)
    if "gguf" in spec:
        server = LlamaServer(
            program=spec["server"],
            gguf=spec["gguf"],
            sha256=hash_file(spec["gguf"]),
            clone=repository.clone if spec.get("has_snippets") else None,
            since=repository.since,
            is_greedy=bool(spec.get("is_greedy")),
        )
        return stack.enter_context(server)
    if spec["model_free"] == "similar line":
        return ModelFreeRival(complete_by_similar_line)
    learned = frozenset(read_bundle(repository.own, verify=False).manifest.get("learned_sha256", ()))
    n_gram = NGram.of(file for file in read_corpus(repository.built).files if file.sha256 in learned)
    return ModelFreeRival(n_gram.complete)
