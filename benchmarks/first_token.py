"""What a half-empty model loses where its texts stand on a line feed, and what where a control token stands before it.

    python -m benchmarks.first_token --base qwen2.5-coder-0.5b

The sub-model is one of docs/paper.md (Wanda at 50 %, pieces of Java, seed 0). Beside it, the largest activation of the
first token and of all others behind each layer of the dense base. Writes benchmarks/results/first-token-NAME.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.builds import write_result
from builder.bases.load import load_base
from builder.datasets import open_dataset
from builder.evaluation.held_out import Excerpt, ScoringSettings, draw_excerpts
from builder.evaluation.torch_predictor import TorchPredictor
from contract.prompt import PromptEncoder
from laboratory.experiments.method import MethodSettings, apply_method
from laboratory.experiments.study_options import choose_dtype

CALIBRATED_ON = "language:java"
MEASURED_ON = ("language:python", CALIBRATED_ON)
METHOD = MethodSettings(method="wanda", sparsity=0.5, seed=0, prompt_format="plain")
PIECES = 8  # of each language


def main() -> None:
    """Measure, prune, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    name = parser.parse_args().base
    datasets = {spec: open_dataset(spec) for spec in MEASURED_ON}
    base = load_base(name, dtype=choose_dtype("auto"))
    encoder = PromptEncoder(base.tokenizer, base.prompt)
    pieces = {
        spec: draw_excerpts(dataset.select("held-out"), ScoringSettings(excerpts=PIECES))
        for spec, dataset in datasets.items()
    }
    heads = ["", *dict.fromkeys(token for token in (base.prompt.prefix_token, base.prompt.suffix_token) if token)]
    dense = {head: _bits(base.model, encoder, pieces, head) for head in heads}
    activations = _largest(base.model, encoder.snippet_ids(pieces[CALIBRATED_ON][0].text))
    outcome = apply_method(base, [datasets[CALIBRATED_ON]], METHOD)
    document: dict[str, Any] = {
        "command": f"python -m benchmarks.first_token --base {name}",
        "pieces": PIECES,
        "dense": dense,
        "pruned": {head: _bits(outcome.model, encoder, pieces, head) for head in heads},
        "layer_output_error": outcome.plan["layer_output_error"],
        "largest_activation": activations,
    }
    write_result(f"first-token-{name}", document)
    print(json.dumps(document, indent=2))


def _bits(
    model: PreTrainedModel, encoder: PromptEncoder, pieces: Mapping[str, Sequence[Excerpt]], head: str
) -> dict[str, float]:
    """Bits per byte by dataset, of all that stands behind `head` and a line feed."""
    predictor = TorchPredictor("model", model, encoder)
    before = [encoder.tokenizer.token_to_id(head)] if head else []
    figures = {}
    for spec, excerpts in pieces.items():
        nats = [predictor.nats_after([*before, *encoder.snippet_ids(one.text)], len(before) + 1) for one in excerpts]
        figures[spec] = sum(nats) / math.log(2) / sum(len(one.text.encode()) for one in excerpts)
    return figures


@torch.inference_mode()
def _largest(model: PreTrainedModel, ids: Sequence[int]) -> dict[str, list[float]]:
    """The largest absolute value of the residual stream, in front of the layers and behind each."""
    states = model.model(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states
    return {
        "first_token": [float(state[0, 0].abs().max()) for state in states],
        "other_tokens": [float(state[0, 1:].abs().max()) for state in states],
    }


if __name__ == "__main__":
    main()
