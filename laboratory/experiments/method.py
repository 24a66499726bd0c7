"""One base, one method, some domains → a pruned model in memory: what `prune` writes and `sweep` measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenizers import Tokenizer
from transformers import PreTrainedModel

from builder.bases.load import LoadedBase
from builder.calibration import CalibrationSettings
from builder.datasets import Domain, Form, calibration_sequences, mix
from builder.pruning.plan import SizeSettings
from builder.pruning.prune import Pruned, PruneSettings, prune
from contract.errors import BuildError
from contract.prompt import PromptEncoder
from laboratory.sparsity.methods import METHODS
from laboratory.sparsity.pattern import GroupPattern
from laboratory.sparsity.sparse_checkpoint import summarize
from laboratory.sparsity.sparsity_settings import SparsitySettings
from laboratory.sparsity.walk import SparseLayer, sparsify_layers

STRUCTURED: Final = "structured"  # the method of `submodel build`: fewer tokens and narrower layers
ALL_METHODS: Final = (*METHODS, STRUCTURED)


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What is done to a base, and on how much text it is decided."""

    method: str = "wanda"
    # Share of zeros of the pruned matrices; of the structured method: share of all parameters that leave.
    sparsity: float = 0.5
    pattern: GroupPattern | None = None
    owl: bool = False
    tokens: int = (
        24_576  # five for each input of Qwen2.5-Coder-0.5B's widest matrices, or SparseGPT can't tell them apart
    )
    seed: int = 0
    form: Form = "prompt"

    def __post_init__(self) -> None:
        if self.method not in ALL_METHODS:
            raise BuildError(f"There is no pruning method {self.method!r}; give one of {', '.join(ALL_METHODS)}.")
        if self.is_structured:
            if self.pattern is not None or self.owl:
                raise BuildError("The structured method has no n:m pattern and no OWL; leave out --pattern and --owl.")
            if self.form != "prompt":
                raise BuildError("The structured method calibrates on the server's prompts; leave out --form.")
            SizeSettings(size=1.0 - self.sparsity)
        else:
            self.sparse_settings()

    @property
    def is_structured(self) -> bool:
        """Whether the model becomes smaller, not sparse."""
        return self.method == STRUCTURED

    def sparse_settings(self) -> SparsitySettings:
        """For the methods that set weights to zero."""
        return SparsitySettings(method=self.method, sparsity=self.sparsity, pattern=self.pattern, owl=self.owl)

    def structured_settings(self) -> PruneSettings:
        """For the method of `submodel build`."""
        calibration = CalibrationSettings(tokens=self.tokens, tokens_per_channel=0, seed=self.seed)
        return PruneSettings(size=SizeSettings(size=1.0 - self.sparsity), calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """A pruned model. Of `layers` and `pruned` the one that the method makes is there."""

    model: PreTrainedModel  # the base's object, changed in place
    encoder: PromptEncoder
    calibration: dict[str, Any]
    plan: Mapping[str, Any]  # how the ratio was reached, for people and manifests
    layers: tuple[SparseLayer, ...] = ()
    pruned: Pruned | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """Trimmed by the structured method, else the base's."""
        return self.encoder.tokenizer


def apply_method(
    base: LoadedBase,
    domains: Sequence[Domain],
    settings: MethodSettings,
    *,
    most_bytes: Mapping[str, int] | None = None,
    on_layer: Callable[[int, int], None] | None = None,
) -> MethodResult:
    """Prune the base, in place, on the calibration files of the domains. Raises SubmodelError.

    most_bytes: as `builder.datasets.mix` takes it; the structured method learns from all text which tokens stay.
    """
    facts: dict[str, Any] = {
        "domains": [domain.name for domain in domains],
        "fingerprints": [domain.corpus.fingerprint for domain in domains],
        "distributions": [told for domain in domains for told in domain.told_distributions()],
        "seed": settings.seed,
    }
    if settings.is_structured:
        if any(domain.kind != "code" for domain in domains):
            raise BuildError("The structured method learns from code alone; name other domains, or another --method.")
        corpus = mix(domains, most_bytes)
        pruned = prune(
            base.model, base.tokenizer, base.prompt, corpus, settings.structured_settings(), on_layer=on_layer
        )
        return MethodResult(
            model=pruned.model,
            encoder=PromptEncoder(pruned.tokenizer, pruned.prompt),
            calibration=facts | pruned.calibration.summary(),
            plan=pruned.plan_summary,
            pruned=pruned,
        )
    encoder = PromptEncoder(base.tokenizer, base.prompt)
    sequences = calibration_sequences(domains, encoder, tokens=settings.tokens, seed=settings.seed, form=settings.form)
    layers = sparsify_layers(base.model, sequences, settings.sparse_settings(), on_layer=on_layer)
    facts |= {"form": _form(settings.form, encoder), "sequences": len(sequences), "tokens": settings.tokens}
    return MethodResult(
        model=base.model,
        encoder=encoder,
        calibration=facts,
        plan=summarize(layers, settings.sparse_settings()),
        layers=layers,
    )


def _form(form: Form, encoder: PromptEncoder) -> str:
    if form == "plain":
        return "plain"
    return "fill-in-the-middle" if encoder.form.is_fim else "prefix"
