"""The parity check: does the graph answer as the checkpoint does? A failed check stops the export.

The check compares logits in float32, where a mistake in the graph shows. For a quantized graph it compares how often
the same next token is picked, and the loss on text. It does not measure speed. `exporters.reference` has the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime as ort
import torch

from contract.documents import ParityFacts
from contract.errors import ExportError, ParityError
from contract.processor import default_threads
from contract.progress import OnProgress
from contract.session_config import session_config
from exporters.checkpoint_reader import DecoderShape, FloatArray
from exporters.precision import Precision
from exporters.reference import Reference, token_log_probabilities


@dataclass(frozen=True, kw_only=True)
class ParitySettings:
    """How much is compared, and what passes. Half a minute for 320 million parameters on two cores."""

    prompts: int = 20  # 440 greedy tokens: one standard error of the agreement is then below one point
    max_prompt_tokens: int = 160  # of all but `whole_prompts`: two thirds of the time is the float32 pass
    whole_prompts: int = 1  # as long as the server's
    continuation_tokens: int = 24  # a line of code and a little more
    logit_prompts: int = 2  # the shortest; a wrong graph is wrong on the first one
    logit_positions: int = 64
    batch_size: int = 20  # all but the whole prompt: each batch makes its own continuations
    max_logit_difference: float = 1e-2  # of the largest logit; rounding alone gives 1e-5, a wrong graph 1e-1 and more
    min_agreement: float = 0.95  # what a bundle promises
    max_loss_increase: float = 0.015  # likewise


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """The precision of an export, and its parity check."""

    precision: Precision = Precision.INT8  # a quarter of float32's bytes at 1 % more loss
    parity: ParitySettings = field(default_factory=ParitySettings)


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What was measured, and on how much; a figure that was not measured is None."""

    logit_prompts: int
    max_logit_difference: float | None = None  # of the float32 graph against transformers
    logit_scale: float | None = None  # the largest logit there
    prompts: int | None = None
    greedy_tokens: int | None = None
    greedy_agreement: float | None = None  # share of the float32 model's own greedy tokens that this graph picks too
    loss_tokens: int | None = None
    reference_loss: float | None = None  # nats a token over prompts and the text that followed
    loss: float | None = None
    loss_increase: float | None = None  # relative

    def to_json(self) -> ParityFacts:
        """Return the report as it stands in bundle.json: figures that were not measured are absent."""
        return cast(ParityFacts, {name: value for name, value in asdict(self).items() if value is not None})


class DecodeSession:
    """A decode graph with the server's kernels and threads, in plain use: one prompt, past of exact length."""

    def __init__(self, path: Path, shape: DecoderShape) -> None:
        ort.disable_telemetry_events()  # older builds for Windows know no other switch (contract/telemetry.py)
        options = ort.SessionOptions()
        options.intra_op_num_threads = default_threads()
        options.log_severity_level = 3  # the overridable initializer is meant; ONNX Runtime warns of it
        for name, value in session_config(ort.__version__).items():
            options.add_session_config_entry(name, value)
        options.enable_mem_pattern = False  # patterns would be kept for each length of a prompt
        self.shape = shape
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        types = {value.name: value.type for value in self.session.get_inputs()}
        self._number = np.float16 if types["past_key_values.0.key"] == "tensor(float16)" else np.float32

    def empty_past(self) -> dict[str, FloatArray]:
        """Return the past at the start of a prompt."""
        empty = np.zeros((1, self.shape.kv_heads, 0, self.shape.head_dim), self._number)
        return {f"past_key_values.{i}.{kind}": empty for i in range(self.shape.layers) for kind in ("key", "value")}

    def run(
        self, ids: Sequence[int], past: dict[str, FloatArray], keep: int | None = None
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Return the logits (tokens or the last `keep`, vocabulary) of new tokens after `past`, and the new past."""
        length = past["past_key_values.0.key"].shape[2] + len(ids)
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, length), np.int64),
            **past,
            **({} if keep is None else {"num_logits_to_keep": np.array([keep], np.int64)}),
        }
        results = dict(zip(self.outputs, self.session.run(None, feeds), strict=True))
        logits: FloatArray = results.pop("logits")[0]
        return logits, {name.replace("present", "past_key_values"): value for name, value in results.items()}


def check_logits(session: DecodeSession, references: Sequence[Reference], settings: ParitySettings) -> ParityReport:
    """Compare a float32 graph with the references that keep logits; raise ExportError if they differ or none does."""
    pairs = []
    for reference in references:
        if reference.logits is not None:
            keep = len(reference.logits)
            logits, _ = session.run(reference.prompt.prompt_ids, session.empty_past(), keep=keep)
            pairs.append((logits, reference.logits))
    return compare_logits(pairs, len(pairs), settings)


def compare_logits(
    pairs: Sequence[tuple[FloatArray, FloatArray]], prompts: int, settings: ParitySettings
) -> ParityReport:
    """Report the largest difference of pairs (found, expected) of logits.

    Raises ExportError if it exceeds the limit, or if there is no pair.
    """
    if not pairs:
        raise ExportError("A graph in fp32 is checked by its logits; compare those of one prompt at least.")
    # numpy's maximum, since Python's own lets a NaN pass, depending on the order.
    difference = float(np.max([np.abs(found - expected).max() for found, expected in pairs]))
    scale = float(np.max([np.abs(expected).max() for _, expected in pairs]))
    if not difference <= settings.max_logit_difference * scale:  # not >: a NaN must fail
        raise ExportError(
            f"The float32 graph differs from the checkpoint by {difference:.3g} in a logit (largest logit {scale:.3g}, "
            f"allowed {settings.max_logit_difference:.0e} of it), so nothing was exported; please report this model."
        )
    return ParityReport(logit_prompts=prompts, max_logit_difference=difference, logit_scale=scale)


def check_quantized(
    session: DecodeSession,
    references: Sequence[Reference],
    settings: ParitySettings,
    report: ParityReport,
    on_progress: OnProgress,
) -> ParityReport:
    """Add a quantized graph's agreement and loss to `report`; raise ParityError if either is beyond its limit."""
    agreeing = greedy_tokens = loss_tokens = 0
    loss = reference_loss = 0.0
    for index, reference in enumerate(references):
        picks, log_probabilities = _answers(session, reference)
        agreeing += sum(a == b for a, b in zip(picks, reference.greedy_ids, strict=True))
        greedy_tokens += len(picks)
        loss -= float(log_probabilities.sum(dtype=np.float64))
        reference_loss -= float(reference.log_probabilities.sum(dtype=np.float64))
        loss_tokens += len(log_probabilities)
        on_progress(index + 1, len(references))
    agreement, increase = agreeing / greedy_tokens, loss / reference_loss - 1
    if not agreement >= settings.min_agreement:  # not <: a NaN must fail
        raise ParityError(
            f"The quantized graph picks the checkpoint's token for {agreement:.1%} of {greedy_tokens} tokens "
            f"(least allowed {settings.min_agreement:.1%})"
        )
    if not increase <= settings.max_loss_increase:
        raise ParityError(
            f"The quantized graph's loss is {increase:+.2%} against the checkpoint's over {loss_tokens} tokens "
            f"(most allowed {settings.max_loss_increase:+.2%})"
        )
    return replace(
        report,
        prompts=len(references),
        greedy_tokens=greedy_tokens,
        greedy_agreement=agreement,
        loss_tokens=loss_tokens,
        reference_loss=reference_loss / loss_tokens,
        loss=loss / loss_tokens,
        loss_increase=increase,
    )


def _answers(session: DecodeSession, reference: Reference) -> tuple[list[int], FloatArray]:
    """Return the graph's pick at each greedy token's place, and its log-probabilities of prompt and truth."""
    prompt, truth = reference.prompt.prompt_ids, reference.prompt.truth_ids
    logits, present = session.run((*prompt, *reference.greedy_ids[:-1]), session.empty_past())
    picks: list[int] = logits[len(prompt) - 1 :].argmax(-1).tolist()
    past = {name: np.ascontiguousarray(value[:, :, : len(prompt)]) for name, value in present.items()}
    ids = torch.tensor((*prompt, *truth)[1:])
    read, written = ids[: len(prompt)], ids[len(prompt) :]
    parts = [token_log_probabilities(torch.from_numpy(logits[: len(read)]), read)]
    if len(written):
        parts.append(token_log_probabilities(torch.from_numpy(session.run(truth[:-1], past)[0]), written))
    return picks, np.concatenate(parts)
