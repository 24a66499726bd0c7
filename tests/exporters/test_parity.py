from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from contract import session_config
from contract.errors import ExportError, ParityError
from exporters.checkpoint_reader import Checkpoint
from exporters.graph import build_graph, save_graph
from exporters.parity import DecodeSession, ParityReport, ParitySettings, check_logits, check_quantized, compare_logits
from exporters.precision import Precision
from exporters.reference import ParityPrompt, Reference, compute_references, token_log_probabilities
from lsp_server.decoding.runtime import session_options

RNG = np.random.default_rng(0)
PROMPTS = [
    ParityPrompt(prompt_ids=tuple(RNG.integers(0, 261, n).tolist()), truth_ids=tuple(RNG.integers(0, 261, m).tolist()))
    for n, m in ((9, 4), (31, 1), (17, 0), (30, 3))
]
LOOSE = ParitySettings(min_agreement=0, max_loss_increase=10)


@pytest.fixture
def folder(model_folder: Callable[[str], Path]) -> Path:
    return model_folder("qwen2-tied")


@pytest.fixture
def model(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def references(model: PreTrainedModel) -> list[Reference]:
    return compute_references(
        model,
        PROMPTS,
        continuation_tokens=8,
        stop_ids=(),
        logit_prompts=range(2),
        logit_positions=12,
        batch_size=4,
        on_progress=lambda done, total: None,
    )


def open_session(folder: Path, path: Path, precision: Precision) -> DecodeSession:
    save_graph(build_graph(Checkpoint(folder), precision), path)
    return DecodeSession(path, Checkpoint(folder).shape)


def check(session: DecodeSession, references: list[Reference], settings: ParitySettings) -> ParityReport:
    empty = ParityReport(logit_prompts=0, max_logit_difference=0.0, logit_scale=0.0)
    return check_quantized(session, references, settings, empty, lambda done, total: None)


def test_the_float32_graph_passes_everything(folder: Path, references: list[Reference], tmp_path: Path) -> None:
    session = open_session(folder, tmp_path / "model.onnx", Precision.FP32)
    report = check_logits(session, references, ParitySettings())
    assert report.logit_prompts == 2
    assert report.max_logit_difference is not None and report.logit_scale is not None
    assert report.max_logit_difference < 1e-4 < 3 < report.logit_scale
    full = check(session, references, ParitySettings())
    assert (full.greedy_agreement, full.greedy_tokens) == (1.0, 32)
    assert full.loss_tokens == sum(len(p.prompt_ids) + len(p.truth_ids) - 1 for p in PROMPTS)
    assert full.loss_increase == pytest.approx(0, abs=1e-5)


def test_what_is_compared_and_timed_is_what_the_server_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_config, "saturates", lambda: True)
    options = open_session(folder, tmp_path / "model.onnx", Precision.FP32).session.get_session_options()
    assert options.get_session_config_entry("session.x64quantprecision") == "1"
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    served = session_options()
    for name in ("intra_op_num_threads", "graph_optimization_level", "enable_mem_pattern", "execution_mode"):
        assert getattr(options, name) == getattr(served, name), name


@torch.inference_mode()
def test_figures_of_int8_by_their_definition(
    folder: Path, model: PreTrainedModel, references: list[Reference], tmp_path: Path
) -> None:
    session = open_session(folder, tmp_path / "model.onnx", Precision.INT8)
    report = check(session, references, LOOSE)
    agreeing, loss, reference_loss, count = 0, 0.0, 0.0, 0
    for reference in references:
        prompt, truth = reference.prompt.prompt_ids, reference.prompt.truth_ids
        for position, token in enumerate(reference.greedy_ids):
            logits, _ = session.run([*prompt, *reference.greedy_ids[:position]], session.empty_past(), keep=1)
            agreeing += int(logits[-1].argmax()) == token
        ids = [*prompt, *truth]
        quantized = torch.from_numpy(session.run(ids, session.empty_past())[0]).log_softmax(-1)
        exact = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for position in range(1, len(ids)):
            loss -= float(quantized[position - 1, ids[position]])
            reference_loss -= float(exact[position - 1, ids[position]])
            count += 1
    # By processor a product of one row may round otherwise than one of many: one code more, where two tokens are near.
    assert report.greedy_agreement == pytest.approx(agreeing / 32, abs=1.01 / 32)
    assert report.loss_tokens == count
    assert report.loss == pytest.approx(loss / count, rel=1e-4)
    assert report.reference_loss == pytest.approx(reference_loss / count, rel=1e-5)
    assert report.loss_increase == pytest.approx(loss / reference_loss - 1, abs=1e-4)


def test_a_wrong_graph_is_refused(
    folder: Path, references: list[Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Checkpoint.read

    def read(self: Checkpoint, *names: str) -> np.ndarray:
        array = original(self, *names)
        return array * 1.3 if "layers.1.input_layernorm" in names[0] else array

    monkeypatch.setattr(Checkpoint, "read", read)
    session = open_session(folder, tmp_path / "model.onnx", Precision.FP32)
    with pytest.raises(ExportError, match=r"differs from the checkpoint by .* in a logit .*nothing was exported"):
        check_logits(session, references, ParitySettings())


def test_a_nan_is_refused(folder: Path, references: list[Reference], tmp_path: Path) -> None:
    session = open_session(folder, tmp_path / "model.onnx", Precision.FP32)
    assert references[0].logits is not None
    spoiled = [replace(references[0], logits=references[0].logits * np.float32("nan"))]
    with pytest.raises(ExportError, match="nan"):
        check_logits(session, spoiled, ParitySettings())


@pytest.mark.parametrize("prompt", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_logit_may_differ_by_a_hundredth_of_the_largest(prompt: int, sign: int) -> None:
    expected = np.array([[-20.0, 5.0, 0.0]], np.float32)

    def compare(difference: float) -> ParityReport:
        pairs = [(expected.copy(), expected) for _ in range(2)]
        pairs[prompt][0][0, 0] += sign * difference
        return compare_logits(pairs, 2, ParitySettings())

    report = compare(0.19)
    assert report.logit_scale == 20
    assert report.max_logit_difference == pytest.approx(0.19, rel=1e-4)
    for difference in (0.21, float("nan")):
        with pytest.raises(ExportError, match="differs from the checkpoint"):
            compare(difference)


def test_a_float32_graph_is_not_exported_unchecked(references: list[Reference]) -> None:
    session = cast(DecodeSession, None)
    with pytest.raises(ExportError, match="one prompt at least"):
        check_logits(session, [replace(one, logits=None) for one in references], ParitySettings(logit_prompts=0))


def test_quantization_that_costs_too_much_is_refused(folder: Path, references: list[Reference], tmp_path: Path) -> None:
    session = open_session(folder, tmp_path / "model.onnx", Precision.INT8)
    report = check(session, references, LOOSE)
    assert report.greedy_agreement is not None and report.loss_increase is not None
    with pytest.raises(ExportError, match=r"picks the checkpoint's token for [\d.]+% of 32 tokens"):
        check(session, references, replace(LOOSE, min_agreement=report.greedy_agreement + 0.001))
    with pytest.raises(ExportError, match=r"loss is [+-][\d.]+% against the checkpoint's over"):
        check(session, references, replace(LOOSE, max_loss_increase=report.loss_increase - 0.001))
    check(session, references, replace(LOOSE, min_agreement=report.greedy_agreement))  # as many as are promised


def test_only_the_token_itself_agrees_and_only_a_higher_loss_counts_against_a_graph(
    folder: Path, references: list[Reference], tmp_path: Path
) -> None:
    session = open_session(folder, tmp_path / "model.onnx", Precision.FP32)
    others = [replace(one, greedy_ids=(*one.greedy_ids[:-1], one.greedy_ids[-1] + 1)) for one in references]
    assert check(session, others, LOOSE).greedy_agreement == 28 / 32
    worse = [replace(one, log_probabilities=2 * one.log_probabilities) for one in references]
    assert check(session, worse, ParitySettings()).loss_increase == pytest.approx(-0.5, abs=1e-5)
    unknown = [replace(one, log_probabilities=one.log_probabilities * np.float32("nan")) for one in references]
    with pytest.raises(ParityError, match="loss is"):
        check(session, unknown, LOOSE)


@pytest.mark.parametrize("rows", [0, 1, 5, 6])
def test_log_probabilities_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr("builder.nats.LOGIT_POSITIONS", 2)
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((rows, 50), np.float32))
    ids = torch.from_numpy(rng.integers(0, 50, rows))
    expected = logits.log_softmax(-1)[torch.arange(rows), ids].numpy()
    np.testing.assert_array_equal(token_log_probabilities(logits, ids), expected)


def test_figures_that_were_not_measured_are_absent() -> None:
    report = ParityReport(logit_prompts=4, max_logit_difference=1e-5, logit_scale=20.0)
    assert report.to_json() == {"logit_prompts": 4, "max_logit_difference": 1e-5, "logit_scale": 20.0}
