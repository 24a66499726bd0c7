"""Where a model runs: the processor, or an NVIDIA GPU if ONNX Runtime offers it and the bundle has a graph in fp16.

The int8 graph's products exist for processors only: a GPU would send each of them back. Only the processor is tested.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

GPU_PRECISION = "fp16"  # of the graph that a GPU runs


class Provider(StrEnum):
    """Names of `--provider`."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


RUNTIME_NAMES = {Provider.CPU: "CPUExecutionProvider", Provider.CUDA: "CUDAExecutionProvider"}  # ONNX Runtime's
PACKAGES = ("onnxruntime", "onnxruntime-gpu")  # what brings them


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where to run, in which precision, and why there."""

    provider: Provider  # never AUTO
    precision: str | None = None  # of the graph; None: onnx/model.onnx, whatever it is
    why: str


def choose_provider(wanted: Provider, offered: Collection[str], precisions: Collection[str]) -> Choice:
    """Return the provider to run on: the processor if another is not available, with the reason and what would help.

    `offered` is what ONNX Runtime offers (its own names), `precisions` those that the bundle has.
    """
    name = RUNTIME_NAMES[Provider.CUDA]
    if wanted is Provider.CPU:
        why = "it was asked for"
    elif name not in offered:
        why = f"cuda: this ONNX Runtime has no {name} (the package {PACKAGES[1]} brings it)"
    elif GPU_PRECISION not in precisions:
        add = f"submodel export MODEL -o BUNDLE --quantize {GPU_PRECISION} --add"
        why = f"cuda: the bundle has no graph in {GPU_PRECISION} (`{add}` adds it)"
    else:
        why = "it is there, and the bundle has a graph for it"
        return Choice(provider=Provider.CUDA, precision=GPU_PRECISION, why=why)
    return Choice(provider=Provider.CPU, why=why)
