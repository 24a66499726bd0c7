"""Versions of what makes models and bundles: the program's own, and those of the libraries that are installed."""

from __future__ import annotations

import importlib.metadata
from typing import Final

# Raised when the same inputs give another model, so that stages of older versions are not kept.
PIPELINE_VERSION: Final = 22
# Likewise for the bundle; 2: rotated int8, 3: int8 weights without MatMulNBits, 4: drafts, 5: confidence threshold,
# 6: one quantization step for all rows behind a norm, 7: threshold on two places a line, 8: the key "threshold",
# 9: threshold from short prompts, 10: threshold with the last token healed, 11: threshold with unfinished lines,
# 12: int8 embedding by rows; the threshold has left since, 13: drafts read once more for secrets.
EXPORT_VERSION: Final = 13
SCORING_VERSION: Final = 3  # raised when the same model gets other scores
PROGRAM: Final = f"{PIPELINE_VERSION}.{EXPORT_VERSION}"


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Versions of those distributions that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a source tree
    return versions
