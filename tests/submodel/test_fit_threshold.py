from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from builder.corpus.corpus import SourceFile
from builder.fim_examples import cut_files
from contract.bundle.bundle import Bundle, read_bundle, read_manifest, seal_manifest
from contract.bundle.threshold import KEY, Gate, read_gate
from lsp_server.completion import open_completer
from lsp_server.options import GateOptions, ServerOptions
from lsp_server.request import Completion, CompletionRequest
from submodel.evaluation.fit_threshold import measure_gate

FILE = SourceFile(
    path="a.py",
    language="Python",
    text="".join(f"value_{index} = compute({index})\n" for index in range(40)),
    sha256="",
    split="validation",
)


class HalfSure:
    """Knows every other line, and is sure of those it knows."""

    def complete(self, request: CompletionRequest) -> Completion:
        truth = FILE.text[request.offset : FILE.text.index("\n", request.offset)]
        is_known = request.offset % 2 == 0
        assert not request.options.trigger.multi_line
        return Completion(text=truth if is_known else "wrong", confidence=0.9 if is_known else 0.1)


def store_gate(bundle: Path, gate: Gate) -> None:
    seal_manifest(bundle, {**read_manifest(bundle), KEY: gate.to_json()})


def test_gate_is_measured_and_kept_in_the_bundle(tiny_bundle: Bundle, tmp_path: Path) -> None:
    cuts = cut_files([FILE], 40, seed=0)
    gate = measure_gate(HalfSure(), cuts)
    known = sum(cut.offset % 2 == 0 for cut in cuts)
    point = gate.at(1.0)
    assert point is not None
    assert (point.threshold, point.coverage, point.precision) == (0.9, known / 40, 1.0)
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    store_gate(folder, gate)
    assert read_gate(read_bundle(folder).manifest) == gate


def test_bundle_with_a_gate_shows_only_what_it_is_sure_of(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    store_gate(folder, measure_gate(HalfSure(), cut_files([FILE], 40, seed=0)))
    completer = open_completer(folder, threads=1)
    request = CompletionRequest(text="def f(x):\n    return ", offset=21)
    shown = completer.complete(request)
    assert shown.text
    assert shown.threshold is None
    gated = completer.complete(replace(request, options=ServerOptions(gate=GateOptions(precision=0.9))))
    assert gated.text == ""
    assert (gated.rule, gated.threshold) == ("gate", 0.9)
    assert gated.confidence == pytest.approx(shown.confidence, rel=1e-3)
    assert gated.steps[-1].before == shown.text
