"""Where a model runs: the processor, or an accelerator that this ONNX Runtime offers and this bundle has a graph for.

What each provider needs of the graph decides as much as the hardware does. The int8 graph's products exist for
processors only: a GPU would send each of them back. So an accelerator is taken with a graph in fp16, and without one
the processor is the faster choice. This module does not load ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Provider(StrEnum):
    """Names of `--provider`."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class ProviderFacts:
    """What ONNX Runtime calls a provider and what it needs. Only CPU is tested by this project's own tests."""

    name: str  # ONNX Runtime's
    package: str  # what brings it
    precisions: tuple[str, ...]  # of a graph that it runs well, best first
    device: str | None = None  # whose memory can hold the KV cache; None: the computer's own memory holds it


PROVIDERS: dict[Provider, ProviderFacts] = {
    Provider.CPU: ProviderFacts(
        name="CPUExecutionProvider", package="onnxruntime", precisions=("int8", "int8-weights", "fp32", "fp16")
    ),
    Provider.CUDA: ProviderFacts(
        name="CUDAExecutionProvider", package="onnxruntime-gpu", precisions=("fp16",), device="cuda"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where to run, in which precision, and why there."""

    provider: Provider  # never AUTO
    precision: str | None  # of the graph; None: onnx/model.onnx, whatever it is
    why: str
    is_fallback: bool = False  # something else was asked for by name, or did not start


def choose_provider(wanted: Provider, offered: Collection[str], precisions: Collection[str]) -> Choice:
    """Return the provider to run on.

    `offered` is what ONNX Runtime offers (its own names), `precisions` those that the bundle has. A provider that was
    asked for by name and is not available gives the processor, with the reason and what would help.
    """
    if wanted is Provider.CPU:
        return Choice(provider=Provider.CPU, precision=None, why="it was asked for")
    if wanted is not Provider.AUTO:
        obstacle = _obstacle(wanted, offered, precisions)
        if obstacle is not None:
            return Choice(provider=Provider.CPU, precision=None, why=obstacle, is_fallback=True)
        return _accelerated(wanted, precisions, "it was asked for")
    obstacle = _obstacle(Provider.CUDA, offered, precisions)
    if obstacle is None:
        return _accelerated(Provider.CUDA, precisions, "it is there, and the bundle has a graph for it")
    return Choice(provider=Provider.CPU, precision=None, why=obstacle)


def without_accelerator(choice: Choice, error: str | None = None) -> Choice:
    """Return the processor in place of a choice whose provider did not start, or failed with the graph (`error`)."""
    facts = PROVIDERS[choice.provider]
    why = f"{choice.provider}: {facts.name} did not start; its driver or a library of its own may be missing"
    if error is not None:
        why = f"{choice.provider}: {facts.name} failed ({error})"
    return Choice(provider=Provider.CPU, precision=None, why=why, is_fallback=True)


def _obstacle(provider: Provider, offered: Collection[str], precisions: Collection[str]) -> str | None:
    facts = PROVIDERS[provider]
    if facts.name not in offered:
        return (
            f"{provider}: this ONNX Runtime has no {facts.name}, only {', '.join(sorted(offered))} "
            f"(the package {facts.package} brings it)"
        )
    if not set(facts.precisions) & set(precisions):
        return (
            f"{provider}: the bundle has no graph in {' or '.join(facts.precisions)} "
            f"(`submodel export MODEL -o BUNDLE --quantize {facts.precisions[0]} --add` adds it)"
        )
    return None


def _accelerated(provider: Provider, precisions: Collection[str], why: str) -> Choice:
    facts = PROVIDERS[provider]
    precision = next(one for one in facts.precisions if one in precisions)
    return Choice(provider=provider, precision=precision, why=why)
