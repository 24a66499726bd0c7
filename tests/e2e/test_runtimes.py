"""A bundle in runtimes that know nothing of this project; each test says what it lacks where it can't run.

`make test-tools` installs what is missing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle
from exporters.bundle_export import add_precision, export_bundle
from exporters.parity import ExportSettings, ParitySettings
from exporters.precision import Precision
from testbed import browser, runtimes
from testbed.models import make_export_model, save_model

HAS_PACKAGES = (runtimes.PLACE / "node_modules" / "@huggingface" / "transformers").is_dir()
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not HAS_PACKAGES,
    reason="Node or npm's packages are not here: make test-tools",
)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: make test-tools")
needs_genai = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime_genai") is None, reason="onnxruntime-genai is not here: make test-tools"
)
LOOSE = ParitySettings(prompts=4, max_prompt_tokens=64, continuation_tokens=4, min_agreement=0.3, max_loss_increase=0.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(make_export_model("llama-tied"), tmp_path_factory.mktemp("runtimes") / "model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    """In fp32, and in fp16 beside it."""
    folder = model.with_name("bundle")
    export_bundle(model, folder, ExportSettings(precision=Precision.FP32, parity=LOOSE))
    return add_precision(model, folder, ExportSettings(precision=Precision.FP16, parity=LOOSE))


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    return [[(7 * number + 3 * place) % 250 for place in range(20)] for number in range(runtimes.PROMPTS)]


@pytest.fixture(scope="module")
def expected(model: Path, prompts: list[list[int]]) -> list[list[int]]:
    return runtimes.ask_transformers(model, prompts).answers


def test_the_engine(bundle: Bundle, prompts: list[list[int]], expected: list[list[int]]) -> None:
    assert runtimes.ask_engine(bundle, bundle.model_path, prompts).answers == expected


@needs_node
def test_onnxruntime_node(bundle: Bundle, prompts: list[list[int]], expected: list[list[int]]) -> None:
    assert runtimes.ask_node(bundle, bundle.model_path, prompts).answers == expected


@needs_node
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_transformers_js(bundle: Bundle, prompts: list[list[int]], expected: list[list[int]], precision: str) -> None:
    graph = bundle.graphs[precision]
    assert graph is not None
    reported = runtimes.ask_transformers_js(bundle, graph, prompts)
    same = sum(a == b for a, b in zip(reported.answers, expected, strict=True))
    assert same == len(prompts) if precision == "fp32" else same >= len(prompts) // 2  # random weights tie often


@needs_genai
def test_onnxruntime_genai(bundle: Bundle, prompts: list[list[int]], expected: list[list[int]]) -> None:
    assert runtimes.ask_genai(bundle, bundle.model_path, prompts).answers == expected


@needs_node
@needs_chromium
def test_a_page_in_a_browser(bundle: Bundle, tmp_path: Path) -> None:
    reported = browser.ask_page(bundle, bundle.model_path, tmp_path / "page.png")
    assert "error" not in reported, reported
    assert reported["ids"] == browser.ask_engine(bundle)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
