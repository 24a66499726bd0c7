"""Equal minutes of fine-tuning, with products in 8 bits and freed memory used again, and without both.

    python -m benchmarks.finetuning_products CHECKOUT [--minutes 2] [--seed 0]

CHECKOUT holds a `.submodel` that a build has left: its pruned model is fine-tuned twice, each time by a process of its
own. Both keep of gated products what `builder.finetuning.gated` says; with program version 19 only that in 8 bits did.
Both results are then asked for the validation's loss in the model's own type. Writes
benchmarks/results/finetuning-products-NAME.json, NAME being the folder's name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from builder.artifact import read_artifact
from builder.corpus.corpus import read_corpus
from builder.finetuning.finetune import finetune
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.finetuning.packed import BY_TORCH
from builder.finetuning.training_data import Material
from builder.finetuning.training_run import validation_loss
from builder.finetuning.training_state import StateFile
from builder.memory import limit_kernels, peak_rss_bytes, reuse_memory
from builder.number_format import fastest_dtype
from contract.children import python_module
from contract.prompt import PromptEncoder
from submodel.evaluation.predictors import open_checkpoint


def main() -> None:
    """One process for each kind of products; with --products be that process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--products", choices=["int8", "own"])
    asked = parser.parse_args()
    if asked.products:
        print(json.dumps(run(asked.checkout, asked.products == "int8", asked.minutes, asked.seed)))
        return
    command = [*python_module("benchmarks.finetuning_products"), *sys.argv[1:]]
    rows = []
    for products in ("own", "int8"):
        done = subprocess.run([*command, "--products", products], check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    name = asked.checkout.resolve().name
    options = f"--minutes {asked.minutes:g} --seed {asked.seed}"
    write_result(
        f"finetuning-products-{name}",
        {
            "command": f"python -m benchmarks.finetuning_products {name} {options}",
            "runs": rows,
        },
    )


def run(checkout: Path, is_int8: bool, minutes: float, seed: int) -> dict[str, Any]:
    """Fine-tune the pruned model of `checkout`; what came of it."""
    limit_kernels()
    if is_int8:
        reuse_memory()
    files = read_corpus(checkout).files
    predictor = open_checkpoint("pruned", read_artifact(checkout / ".submodel" / "pruned"), fastest_dtype())
    prompt = predictor.encoder.prompt_format
    encoder = PromptEncoder(predictor.encoder.tokenizer, prompt.as_taught())
    settings = FinetuneSettings(minutes=minutes, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        state = StateFile(path=Path(folder) / "state", stage_hash="")
        tuned = finetune(predictor.model, encoder, files, settings, state=state, is_int8=is_int8)
    peak = peak_rss_bytes()
    tuned.model.set_attn_implementation(BY_TORCH)
    loss = validation_loss(tuned.model, Material(files, encoder, settings))
    return {**tuned.summary, "loss_in_own_type": round(loss, 4), "peak_rss_bytes": peak}


if __name__ == "__main__":
    main()
