"""Calibration: the token sequences on whose activations the pruning decides (`builder.learning_examples`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder.corpus.corpus import SourceFile
from builder.learning_examples import make_sequences
from contract.documents import CalibrationFacts
from contract.errors import CorpusError
from contract.prompt import PromptEncoder


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """How much is read."""

    tokens: int = 12_288
    # Wider layers have more to fit: `at_least_for` raises `tokens` to this. A doubling takes a tenth off what is lost.
    tokens_per_channel: int = 4
    validation_tokens: int = 2_048  # enough to tell ridges apart
    seed: int = 0

    def at_least_for(self, channels: int) -> CalibrationSettings:
        """The same with tokens enough for feed-forward layers of `channels` channels."""
        return replace(self, tokens=max(self.tokens, self.tokens_per_channel * channels))


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Token ids, a tuple a sequence; the two parts come from different files."""

    calibration: tuple[tuple[int, ...], ...]
    validation: tuple[tuple[int, ...], ...]
    prompt_format: str  # "fill-in-the-middle" or "prefix"

    def summary(self) -> CalibrationFacts:
        """For the manifest."""
        return {
            "prompt_format": self.prompt_format,
            "sequences": len(self.calibration),
            "tokens": sum(map(len, self.calibration)),
            "longest_sequence": max(map(len, self.calibration)),
            "validation_sequences": len(self.validation),
            "validation_tokens": sum(map(len, self.validation)),
        }


def make_calibration_set(
    files: Sequence[SourceFile], encoder: PromptEncoder, settings: CalibrationSettings
) -> CalibrationSet:
    """Sample sequences from the calibration and validation files of a corpus, never from its held-out ones."""
    parts = {
        split: make_sequences([f for f in files if f.split == split], encoder, tokens, settings.seed)
        for split, tokens in (("calibration", settings.tokens), ("validation", settings.validation_tokens))
    }
    for split, sequences in parts.items():
        if not sequences:
            raise CorpusError(f"The {split} part of the repository has no line of code to learn from; add code files.")
    return CalibrationSet(
        calibration=parts["calibration"],
        validation=parts["validation"],
        prompt_format="fill-in-the-middle" if encoder.prompt_format.is_fim else "prefix",
    )
