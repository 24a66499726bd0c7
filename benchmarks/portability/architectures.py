"""Which architectures can be exported, and by what: each is tried on a small random model, none is claimed.

    python -m benchmarks.portability.architectures

A model of two layers of each type is saved as transformers saves it, exported as `submodel export` does it, and the
graph asked beside transformers. "decode graph" is this project's own, in every precision and for the language server;
what goes through optimum-onnx is in float32 and for other runtimes. Writes benchmarks/results/architectures.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.builds import write_result
from builder.bases.catalogue import MODEL_TYPES
from contract.errors import SubmodelError
from exporters.bundle_export import export_any
from exporters.export_settings import ExportSettings
from exporters.parity import ParitySettings
from exporters.precision import Precision

# Decoders that code models are published in.
TYPES = (
    *("llama", "qwen2", "mistral", "qwen3", "gemma", "gemma2", "phi", "phi3", "granite", "olmo", "stablelm", "cohere"),
    *("gpt2", "gpt_neox", "gpt_bigcode", "codegen", "starcoder2", "opt", "bloom", "falcon", "mamba"),
)
SIZES = {
    "vocab_size": 261,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": None,
}
OWN_SIZES: dict[str, dict[str, int]] = {
    **{name: {"num_key_value_heads": 2} for name in ("llama", "qwen2", "mistral", "phi3", "granite", "starcoder2")},
    **{name: {"num_key_value_heads": 2, "head_dim": 16} for name in ("gemma", "gemma2", "qwen3")},
    "codegen": {"rotary_dim": 8, "n_ctx": 512},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64},
}
EXPORT = ExportSettings(precision=Precision.FP32, parity=ParitySettings(prompts=4, max_prompt_tokens=64))


def main() -> None:
    """Every type."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for name in TYPES:
        with tempfile.TemporaryDirectory() as room:
            rows.append(try_type(name, Path(room)))
        print(json.dumps(rows[-1]), flush=True)
    document = {
        "command": "python -m benchmarks.portability.architectures",
        "architectures": rows,
    }
    write_result("architectures", document, packages=("optimum", "optimum-onnx"))


def try_type(name: str, room: Path) -> dict[str, Any]:
    """A row: what exported it, and how far its logits are from transformers'; or why it could not be."""
    from testbed.models import save_model

    try:
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, **{**SIZES, **OWN_SIZES.get(name, {})})
        folder = save_model(AutoModelForCausalLM.from_config(config).eval(), room / "model")
        bundle = export_any(folder, room / "bundle", EXPORT)
    except SubmodelError as error:
        return {"type": name, "by": None, "why": str(error).replace(f"{room}/", "")}
    return {
        "type": name,
        "by": "decode graph" if name in MODEL_TYPES else "optimum",
        "max_logit_difference": bundle.manifest["parity"]["max_logit_difference"],
        "logit_scale": bundle.manifest["parity"]["logit_scale"],
    }


if __name__ == "__main__":
    main()
