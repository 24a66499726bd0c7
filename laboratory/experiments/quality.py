"""Measures a model on held-out text of a dataset, by figures that need no completion: bits per byte, in two ways.

One way scores excerpts from left to right. The other scores the missing middle, given prefix and suffix as the server
gives them. Both score the text alone, so that models with different vocabularies compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from builder.datasets import Dataset
from builder.evaluation.held_out import HeldOut, ScoringSettings, draw_excerpts
from builder.evaluation.scoring import score
from builder.evaluation.torch_predictor import TorchPredictor
from builder.fim_examples import draw_fim_examples
from contract.errors import BuildError
from contract.prompt import PromptEncoder


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
        read_nats, is_exact = predictor.read_truth(prompt, middle)
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
