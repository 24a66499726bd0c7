"""Which provider is taken, why the others are not, and a cache in half precision."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
from onnxruntime import InferenceSession, OrtValue
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import write_manifest_of
from contract.errors import SubmodelError
from lsp_server.decoding import decoder as decoder_module
from lsp_server.decoding import engine as engine_module
from lsp_server.decoding import kv_cache
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.kv_cache import KvCache
from lsp_server.decoding.providers import PROVIDERS, Provider, choose_provider
from lsp_server.decoding.runtime import open_session
from lsp_server.serve_errors import ServeError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
EVERYTHING = frozenset(facts.name for facts in PROVIDERS.values())


@pytest.mark.parametrize(
    ("wanted", "offered", "precisions", "provider", "precision", "is_fallback", "words"),
    [
        ("auto", [CPU], ["int8"], "cpu", None, False, "has no CUDAExecutionProvider, only CPUExecutionProvider"),
        ("auto", [CPU, CUDA], ["int8"], "cpu", None, False, "no graph in fp16 (`submodel export"),
        ("auto", [CPU, CUDA], ["int8", "fp16"], "cuda", "fp16", False, "the bundle has a graph for it"),
        ("cpu", [CPU, CUDA], ["int8", "fp16"], "cpu", None, False, "it was asked for"),
        ("cuda", [CPU], ["int8", "fp16"], "cpu", None, True, "onnxruntime-gpu brings it"),
        ("cuda", [CPU, CUDA], ["int8"], "cpu", None, True, "--quantize fp16 --add"),
        ("cuda", EVERYTHING, ["int8", "fp16"], "cuda", "fp16", False, "it was asked for"),
        ("auto", EVERYTHING, ["fp16"], "cuda", "fp16", False, "it is there"),
    ],
)
def test_choice(
    wanted: str,
    offered: list[str],
    precisions: list[str],
    provider: str,
    precision: str | None,
    is_fallback: bool,
    words: str,
) -> None:
    choice = choose_provider(Provider(wanted), offered, precisions)
    assert (choice.provider, choice.precision, choice.is_fallback) == (provider, precision, is_fallback)
    assert words in choice.why


@pytest.mark.parametrize(
    ("provider", "steps"), [(Provider.CUDA, ["libraries", "session"]), (Provider.CPU, ["session"])]
)
def test_the_libraries_of_cuda_s_wheels_are_loaded_first(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, steps: list[str]
) -> None:
    done: list[str] = []
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: done.append("libraries"))
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: done.append("session"))
    open_session(Path("model.onnx"), provider=provider)
    assert done == steps


@pytest.mark.parametrize("wanted", [provider for provider in Provider if provider not in (Provider.AUTO, Provider.CPU)])
def test_a_missing_provider_runs_on_the_processor_and_says_so(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, wanted: Provider
) -> None:
    """On a machine that has it, the bundle's lack of fp16 is the reason."""
    with caplog.at_level(logging.WARNING):
        engine = Engine(tiny_bundle, threads=1, provider=wanted)
    if engine.choice.provider is not Provider.CPU:
        pytest.skip(f"{wanted} runs here")
    assert engine.generate([5, 6, 7], max_new_tokens=3).token_ids
    assert f"Running on cpu: {wanted}: " in caplog.text


@pytest.mark.parametrize("wanted", [Provider.AUTO, Provider.CUDA])
def test_a_provider_that_does_not_start_leaves_the_bundle_s_own_graph_to_the_processor(
    tiny_bundle: Bundle,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Provider,
) -> None:
    """As where CUDA's libraries are missing: ONNX Runtime then opens the session without the provider."""
    bundle = half_precision(tiny_bundle, tmp_path)
    opened: list[Path] = []

    def open_without(path: Path, threads: int | None, provider: Provider) -> InferenceSession:
        opened.append(path)
        return open_session(path, threads)

    monkeypatch.setattr(decoder_module, "open_session", open_without)
    monkeypatch.setattr(engine_module, "offered_providers", lambda: [CPU, CUDA])
    with caplog.at_level(logging.WARNING):
        engine = Engine(bundle, threads=1, provider=wanted)
    assert opened == [bundle.graphs["fp16"], bundle.model_path]
    assert (engine.choice.provider, engine.choice.precision, engine.choice.is_fallback) == (Provider.CPU, None, True)
    assert "Running on cpu: cuda: CUDAExecutionProvider did not start" in caplog.text
    assert engine.generate([5, 6, 7], max_new_tokens=3).token_ids


def test_a_provider_that_can_not_load_the_graph_leaves_it_to_the_processor(
    tiny_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a GPU's memory is full: ONNX Runtime then raises."""

    def open_on_processor(path: Path, threads: int | None, provider: Provider) -> InferenceSession:
        if provider is not Provider.CPU:
            raise ServeError("It can't be loaded.") from RuntimeException("CUDA failure 2: out of memory")
        return open_session(path, threads)

    bundle = half_precision(tiny_bundle, tmp_path)
    monkeypatch.setattr(decoder_module, "open_session", open_on_processor)
    monkeypatch.setattr(engine_module, "offered_providers", lambda: [CPU, CUDA])
    with caplog.at_level(logging.WARNING):
        engine = Engine(bundle, threads=1, provider=Provider.AUTO)
    assert (engine.choice.provider, engine.choice.precision, engine.choice.is_fallback) == (Provider.CPU, None, True)
    assert "Running on cpu: cuda: CUDAExecutionProvider failed (CUDA failure 2: out of memory)." in caplog.text
    assert engine.generate([5, 6, 7], max_new_tokens=3).token_ids
    (bundle.folder / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(SubmodelError):
        Engine(bundle, threads=1, provider=Provider.AUTO)


class Accelerated:
    """A session on the processor that gives itself out as one on an accelerator."""

    def __init__(self, session: InferenceSession, provider: Provider, failure: Exception | None) -> None:
        self._session, self._provider, self._failure = session, provider, failure

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [PROVIDERS[self._provider].name, CPU]

    def run_with_iobinding(self, *arguments: object) -> None:
        if self._failure is not None:
            raise self._failure
        self._session.run_with_iobinding(*arguments)


def accelerated_engine(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None, device: str | None = None
) -> Engine:
    """An engine on what gives itself out as CUDA; the cache lies in the computer's own memory by default."""

    def open_accelerated(path: Path, threads: int | None, provider: Provider) -> InferenceSession | Accelerated:
        session = open_session(path, threads)
        return session if provider is Provider.CPU else Accelerated(session, provider, failure)

    monkeypatch.setattr(decoder_module, "open_session", open_accelerated)
    monkeypatch.setattr(engine_module, "offered_providers", lambda: EVERYTHING)
    monkeypatch.setitem(PROVIDERS, Provider.CUDA, replace(PROVIDERS[Provider.CUDA], device=device))
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    return Engine(bundle, threads=1, provider=Provider.CUDA)


def test_an_accelerator_that_computes_as_it_should_is_taken(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = half_precision(tiny_bundle, tmp_path)
    engine = accelerated_engine(bundle, monkeypatch)
    assert (engine.choice.provider, engine.choice.precision) == (Provider.CUDA, "fp16")
    assert (len(engine.memory), engine.decoder.cache.tokens) == (1, [])
    alone = Engine(replace(bundle, model_path=bundle.graphs["fp16"]), threads=1)
    prompt = list(range(20, 60))
    assert engine.generate(prompt, max_new_tokens=8).token_ids == alone.generate(prompt, max_new_tokens=8).token_ids


@pytest.mark.parametrize(
    ("device", "failure", "words"),
    [
        ("cuda", None, "CUDA failure 2"),  # as the cache is allocated
        (None, RuntimeException("no kernel image for this device"), "no kernel image"),
        (None, RuntimeException("Failed to allocate memory"), "Failed to allocate memory"),
    ],
)
def test_an_accelerator_that_fails_at_its_first_step_leaves_the_graph_to_the_processor(
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str | None,
    failure: Exception | None,
    words: str,
) -> None:

    def allocate(*_: object) -> NoReturn:
        raise RuntimeException("CUDA failure 2: out of memory")

    values = SimpleNamespace(ortvalue_from_numpy=OrtValue.ortvalue_from_numpy, ortvalue_from_shape_and_type=allocate)
    monkeypatch.setattr(kv_cache, "OrtValue", values)
    engine = accelerated_engine(half_precision(tiny_bundle, tmp_path), monkeypatch, failure, device)
    assert (engine.choice.provider, engine.choice.precision, engine.choice.is_fallback) == (Provider.CPU, None, True)
    assert words in engine.choice.why
    assert engine.generate([5, 6, 7], max_new_tokens=3).token_ids
    assert engine.decoder.cache.device is None
    assert engine.decoder.cache.number is np.float32


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


def test_a_cache_on_a_device_has_its_full_size_at_once() -> None:
    cache = KvCache(layers=2, kv_heads=2, head_dim=4, max_positions=64)
    cache.device, cache.number = "cpu", np.float16
    cache.reserve(3)
    assert cache.capacity == 64
    cache.reserve(64)
    assert cache.moves == 1
