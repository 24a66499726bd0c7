"""Measures a model on held-out text of a dataset, by figures that need no completion: bits per byte, in two ways.

One way scores excerpts from left to right. The other scores the missing middle, given prefix and suffix as the server
gives them. Both score the text alone, so that models with different vocabularies compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from builder.evaluation.held_out import HeldOut, ScoringSettings, draw_excerpts
from builder.evaluation.scoring import score
from builder.evaluation.torch_predictor import TorchPredictor
from builder.fim_examples import draw_fim_examples
from contract.errors import BuildError
from contract.prompt import PromptEncoder
from laboratory.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """How much of each dataset is measured."""

    excerpts: int = 24  # of 1,200 characters each
    middles: int = 32  # ends of lines, given what stands around them
    seed: int = 1

    def __post_init__(self) -> None:
        if self.excerpts < 1 or self.middles < 0:
            raise BuildError("A sweep needs one excerpt at least, and no negative number of middles.")


def measure_quality(
    model: PreTrainedModel, encoder: PromptEncoder, dataset: Dataset, settings: QualitySettings
) -> dict[str, Any]:
    """Return the figures; for intervals also those of single excerpts and middles, in the same order for every model.

    Raises BuildError if the dataset has nothing held out.
    """
    files = dataset.select("held-out")
    scoring = ScoringSettings(excerpts=settings.excerpts, seed=settings.seed)
    held_out = HeldOut(fim_examples=(), blocks=(), excerpts=draw_excerpts(files, scoring))
    if not held_out.excerpts:
        raise BuildError(f"{dataset.name} has no held-out text to measure on; name another dataset.")
    predictor = TorchPredictor("model", model, encoder)
    scores = score(predictor, held_out)
    nats, sizes = [one.nats for one in scores.excerpts], [one.bytes for one in scores.excerpts]
    figures: dict[str, Any] = {
        "bits_per_byte": scores.to_json()["bits_per_byte"],
        "excerpt_nats": [round(one, 3) for one in nats],
        "excerpt_bytes": sizes,
        "excerpt_files": [one.file for one in scores.excerpts],
    }
    if encoder.prompt_format.is_fim and settings.middles:
        figures |= _middles(predictor, dataset, settings)
    return figures


def _middles(predictor: TorchPredictor, dataset: Dataset, settings: QualitySettings) -> dict[str, Any]:
    encoder = predictor.encoder
    nats, sizes, exact, paths = [], [], [], []
    for drawn in draw_fim_examples(dataset.select("held-out"), settings.middles, settings.seed + 1, kind=dataset.kind):
        example = drawn if encoder.drops_indentation else drawn.as_served(encoder)
        prompt, middle = example.prompt(encoder), encoder.text_ids(example.middle)
        read_nats, is_exact = read_truth(predictor, prompt, middle)
        nats.append(read_nats)
        exact.append(is_exact)
        paths.append(example.file.path)
        sizes.append(len(example.middle.encode()))  # what was taken back counts on both sides
    if not nats:
        return {}
    return {
        "fim_bits_per_byte": sum(nats) / math.log(2) / sum(sizes),
        "middle_nats": [round(one, 3) for one in nats],
        "middle_bytes": sizes,
        "middle_files": paths,
        "middle_exact": exact,
    }


@torch.inference_mode()
def read_truth(predictor: TorchPredictor, prompt: Sequence[int], truth: Sequence[int]) -> tuple[float, bool]:
    """The truth's negative log-likelihood after a prompt, in nats, and whether the model would write it as a line.

    One pass and no decoding: a greedy line is the truth where each of its tokens is the likeliest one, and a line
    break or an end is the likeliest after them. A line that the model would write in other tokens doesn't count.
    Neither may be empty.
    """

    def text_of(token: int) -> str:
        return str(predictor.encoder.tokenizer.decode([token], skip_special_tokens=False))

    ids = torch.tensor([[*prompt, *truth]])
    logits = predictor.model(ids, use_cache=False, logits_to_keep=len(truth) + 1).logits[0].float()
    nats = torch.nn.functional.cross_entropy(logits[:-1], ids[0, len(prompt) :], reduction="sum")
    *before, last, after = logits.argmax(dim=1).tolist()
    *truth_before, truth_last = truth
    is_ended = after in predictor.encoder.stop_ids or text_of(after).lstrip(" \t\r").startswith("\n")
    # Of some vocabularies a token holds the end of a line and the break behind it.
    end, line_break, _ = text_of(last).partition("\n")
    is_end_of_line = bool(line_break) and end.rstrip() == text_of(truth_last).rstrip()
    is_last = (last == truth_last and is_ended) or is_end_of_line
    return float(nats), is_last and before == list(truth_before)
