"""How long bundles take for a line, asked in turns, so that a slow moment of the machine hits all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from builder.fim_examples import FimExample
from contract.bundle.bundle import read_bundle
from contract.progress import OnProgress
from lsp_server.decoding.engine import LINE_TOKENS
from submodel.evaluation.bundle_predictor import BundlePredictor

POSITIONS = 40


def line_times(
    bundles: Mapping[str, Path], fim_examples: Sequence[FimExample], on_progress: OnProgress
) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of a line's milliseconds by bundle, each line from a prompt that no cache holds.

    At most POSITIONS of the examples, of those whose prompts every bundle has room for.
    """
    opened = {name: read_bundle(folder) for name, folder in bundles.items()}
    predictors = {name: BundlePredictor(bundle) for name, bundle in opened.items()}
    room = min(bundle.architecture.max_positions for bundle in opened.values()) - LINE_TOKENS
    encoders = [predictor.encoder for predictor in predictors.values()]
    fitting = (example for example in fim_examples if all(len(example.prompt(encoder)) <= room for encoder in encoders))
    chosen = list(islice(fitting, POSITIONS))
    times: dict[str, list[float]] = {name: [] for name in predictors}
    for number, example in enumerate(chosen, start=1):
        for name, predictor in predictors.items():
            predictor.complete([example.prompt(predictor.encoder)], lambda count: None)
            times[name] += predictor.milliseconds
        on_progress(number, len(chosen))
    return {
        name: {"p50": round(float(np.percentile(each, 50)), 1), "p95": round(float(np.percentile(each, 95)), 1)}
        for name, each in times.items()
        if each
    }
