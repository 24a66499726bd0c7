"""Prunes one base by one method on some datasets, in memory. `prune` writes the result, `sweep` measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from transformers import PreTrainedModel

from builder.bases.load import LoadedBase
from builder.calibration import CalibrationSettings
from builder.pruning.plan import SizeSettings
from builder.pruning.structured_pruning import PruneSettings, prune
from contract.errors import BuildError
from contract.progress import OnProgress, no_progress
from contract.prompt import PromptEncoder
from laboratory.datasets import Dataset
from laboratory.experiments.calibration_texts import CalibrationFormat, calibration_sequences, mix
from laboratory.sparsity.methods import METHODS, SparsitySettings
from laboratory.sparsity.sparse_checkpoint import summarize
from laboratory.sparsity.walk import SparseLayer, sparsify_layers

STRUCTURED: Final = "structured"  # the method of `submodel build`: fewer tokens and narrower layers
ALL_METHODS: Final = (*METHODS, STRUCTURED)


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """How a base is pruned, and how much text decides it."""

    method: str = "wanda"
    # Share of zeros of the pruned matrices; of the structured method: share of all parameters that are removed.
    sparsity: float = 0.5
    tokens: int = (
        24_576  # five for each input of Qwen2.5-Coder-0.5B's widest matrices; SparseGPT needs them to tell inputs apart
    )
    seed: int = 0
    prompt_format: CalibrationFormat = "prompt"

    def __post_init__(self) -> None:
        if self.method not in ALL_METHODS:
            raise BuildError(f"There is no pruning method {self.method!r}; give one of {', '.join(ALL_METHODS)}.")
        if self.is_structured:
            if self.prompt_format != "prompt":
                raise BuildError("The structured method calibrates on the server's prompts; leave out --prompt-format.")
            SizeSettings(size=1.0 - self.sparsity)
        else:
            self.sparse_settings()

    @property
    def is_structured(self) -> bool:
        """Whether the model becomes smaller, not sparse."""
        return self.method == STRUCTURED

    def sparse_settings(self) -> SparsitySettings:
        """Return the settings of the methods that set weights to zero."""
        return SparsitySettings(method=self.method, sparsity=self.sparsity)

    def structured_settings(self) -> PruneSettings:
        """Return the settings of `submodel build`'s method."""
        calibration = CalibrationSettings(tokens=self.tokens, tokens_per_channel=0, seed=self.seed)
        return PruneSettings(size=SizeSettings(size=1.0 - self.sparsity), calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """A pruned model. Methods that set weights to zero fill `layers`."""

    model: PreTrainedModel  # the base's object, changed in place
    encoder: PromptEncoder
    calibration: dict[str, Any]
    plan: Mapping[str, Any]  # how the ratio was reached, for people and manifests
    layers: tuple[SparseLayer, ...] = ()


def apply_method(
    base: LoadedBase,
    datasets: Sequence[Dataset],
    settings: MethodSettings,
    *,
    most_bytes: Mapping[str, int] | None = None,
    on_layer: OnProgress = no_progress,
) -> MethodResult:
    """Prune the base, in place, on the calibration files of the datasets. Raises SubmodelError.

    most_bytes: as `calibration_texts.mix` takes it, for the structured method, which chooses tokens by all text.
    """
    facts: dict[str, Any] = {
        "datasets": [dataset.name for dataset in datasets],
        "fingerprints": [dataset.corpus.fingerprint for dataset in datasets],
        "distributions": [reported for dataset in datasets for reported in dataset.describe_distributions()],
        "seed": settings.seed,
    }
    if settings.is_structured:
        if any(dataset.kind != "code" for dataset in datasets):
            raise BuildError("The structured method learns from code alone; name other datasets, or another --method.")
        corpus = mix(datasets, most_bytes)
        pruned = prune(
            base.model, base.tokenizer, base.prompt, corpus, settings.structured_settings(), on_layer=on_layer
        )
        return MethodResult(
            model=pruned.model,
            encoder=PromptEncoder(pruned.tokenizer, pruned.prompt),
            calibration=facts | pruned.calibration.summary(),
            plan=pruned.plan_summary,
        )
    encoder = PromptEncoder(base.tokenizer, base.prompt)
    sequences = calibration_sequences(
        datasets, encoder, tokens=settings.tokens, seed=settings.seed, prompt_format=settings.prompt_format
    )
    layers = sparsify_layers(base.model, sequences, settings.sparse_settings(), on_layer=on_layer)
    facts |= {
        "prompt_format": _format_name(settings.prompt_format, encoder),
        "sequences": len(sequences),
        "tokens": settings.tokens,
    }
    return MethodResult(
        model=base.model,
        encoder=encoder,
        calibration=facts,
        plan=summarize(layers, settings.sparse_settings()),
        layers=layers,
    )


def _format_name(prompt_format: CalibrationFormat, encoder: PromptEncoder) -> str:
    if prompt_format == "plain":
        return "plain"
    return "fill-in-the-middle" if encoder.prompt_format.is_fim else "prefix"
