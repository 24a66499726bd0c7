"""Which provider is taken, why the others are not, and a cache in half precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import write_manifest_of
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.providers import RUNTIME_NAMES, Provider, choose_provider
from lsp_server.decoding.runtime import open_session
from lsp_server.serve_errors import ServeError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("wanted", "offered", "precisions", "provider", "precision", "words"),
    [
        ("auto", [CPU], ["int8"], "cpu", None, "has no CUDAExecutionProvider"),
        ("auto", [CPU, CUDA], ["int8"], "cpu", None, "no graph in fp16 (`submodel export"),
        ("auto", [CPU, CUDA], ["int8", "fp16"], "cuda", "fp16", "the bundle has a graph for it"),
        ("cpu", [CPU, CUDA], ["int8", "fp16"], "cpu", None, "it was asked for"),
        ("cuda", [CPU], ["int8", "fp16"], "cpu", None, "onnxruntime-gpu brings it"),
        ("cuda", [CPU, CUDA], ["int8"], "cpu", None, "--quantize fp16 --add"),
    ],
)
def test_choice(
    wanted: str, offered: list[str], precisions: list[str], provider: str, precision: str | None, words: str
) -> None:
    choice = choose_provider(Provider(wanted), offered, precisions)
    assert (choice.provider, choice.precision) == (provider, precision)
    assert words in choice.why


@pytest.mark.parametrize(
    ("provider", "steps"), [(Provider.CUDA, ["libraries", "session"]), (Provider.CPU, ["session"])]
)
def test_the_libraries_of_cuda_s_wheels_are_loaded_first(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, steps: list[str]
) -> None:
    done: list[str] = []
    session = SimpleNamespace(get_providers=lambda: [RUNTIME_NAMES[provider], CPU])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: done.append("libraries"))
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: done.append("session") or session)
    open_session(Path("model.onnx"), provider=provider)
    assert done == steps


def test_a_provider_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where CUDA's libraries are missing: ONNX Runtime then opens the session without the provider."""
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    session = SimpleNamespace(get_providers=lambda: [CPU])
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: session)
    with pytest.raises(ServeError, match="CUDAExecutionProvider did not start; check its driver"):
        open_session(Path("model.onnx"), provider=Provider.CUDA)


def half_precision(bundle: Bundle, folder: Path) -> Bundle:
    """The tiny bundle with a graph in fp16 beside its own."""
    import shutil

    from exporters.checkpoint_reader import Checkpoint
    from exporters.graph import build_graph, save_graph
    from exporters.precision import VARIANT_FILES, Precision
    from testbed.bundles import make_tiny_bundle

    make_tiny_bundle(folder / "bundle", folder / "checkpoint")
    shutil.copyfile(bundle.tokenizer_path, folder / "bundle" / "tokenizer.json")
    file = VARIANT_FILES[Precision.FP16]
    save_graph(build_graph(Checkpoint(folder / "checkpoint"), Precision.FP16), folder / "bundle" / file)
    kept = {key: value for key, value in bundle.manifest.items() if key not in ("files", "schema")}
    variants = {"fp16": {"file": file, "quantization": "fp16", "parity": {}}}
    write_manifest_of(folder / "bundle", {**kept, "quantization": "fp32", "variants": variants})
    return read_bundle(folder / "bundle")


def test_a_graph_in_half_precision_keeps_a_cache_in_half_precision(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = half_precision(tiny_bundle, tmp_path)
    assert set(bundle.graphs) == {"fp32", "fp16"}
    graph = bundle.graphs["fp16"]
    assert graph is not None
    assert bundle.graphs["fp32"] == bundle.model_path
    prompt = list(range(20, 60))
    whole = Engine(bundle, threads=1)
    half = Engine(replace(bundle, model_path=graph), threads=1)
    assert half.decoder.cache.number is np.float16
    expected, found = whole.all_logits(prompt), half.all_logits(prompt)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert half.generate(prompt, max_new_tokens=8).computed_tokens <= len(prompt)
