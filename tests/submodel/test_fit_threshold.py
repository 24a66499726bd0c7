from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from builder.corpus.corpus import SourceFile
from builder.fim_examples import draw_fim_examples
from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import read_manifest, write_manifest
from contract.bundle.threshold import KEY, ConfidenceThreshold, read_threshold
from lsp_server.completion import open_completer
from lsp_server.options import ServerOptions, ThresholdOptions
from lsp_server.request import Completion, CompletionRequest
from submodel.evaluation.fit_threshold import fit_threshold

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


def store_threshold(bundle: Path, confidence_threshold: ConfidenceThreshold) -> None:
    write_manifest(bundle, {**read_manifest(bundle), KEY: confidence_threshold.to_json()})


def test_threshold_is_fitted_and_kept_in_the_bundle(tiny_bundle: Bundle, tmp_path: Path) -> None:
    fim_examples = draw_fim_examples([FILE], 40, seed=0)
    confidence_threshold = fit_threshold(HalfSure(), fim_examples)
    known = sum(example.offset % 2 == 0 for example in fim_examples)
    point = confidence_threshold.at(1.0)
    assert point is not None
    assert (point.threshold, point.coverage, point.precision) == (0.9, known / 40, 1.0)
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    store_threshold(folder, confidence_threshold)
    assert read_threshold(read_bundle(folder).manifest) == confidence_threshold


def test_bundle_with_a_threshold_shows_only_what_it_is_sure_of(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    store_threshold(folder, fit_threshold(HalfSure(), draw_fim_examples([FILE], 40, seed=0)))
    completer = open_completer(folder, threads=1)
    request = CompletionRequest(text="def f(x):\n    return ", offset=21)
    shown = completer.complete(request)
    assert shown.text
    assert shown.threshold is None
    gated = completer.complete(replace(request, options=ServerOptions(threshold=ThresholdOptions(precision=0.9))))
    assert gated.text == ""
    assert (gated.rule, gated.threshold) == ("threshold", 0.9)
    assert gated.confidence == pytest.approx(shown.confidence, rel=1e-3)
    assert gated.steps[-1].before == shown.text
