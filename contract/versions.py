"""Versions of the libraries that a model, a bundle or a figure was made with."""

from __future__ import annotations

import importlib.metadata


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Versions of those distributions that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a source tree
    return versions
