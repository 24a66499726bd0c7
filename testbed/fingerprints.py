"""Fingerprints of a benchmark's problems, made for the product's data file and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from contract.repository.fingerprints import Fingerprints, HashSet, read_words


def make_fingerprints(prompts: Iterable[str], names: Iterable[str]) -> Fingerprints:
    """Fingerprints of problems, by their prompts and the names of the functions that they ask for."""
    runs = [read_words(prompt).hash_runs() for prompt in prompts]
    return Fingerprints(
        runs=HashSet.of(np.concatenate(runs)),
        names=HashSet.of(read_words("\n".join(names)).hashes),
    )


def save_fingerprints(fingerprints: Fingerprints, path: Path) -> None:
    """Write an .npz, the same bytes for the same fingerprints."""
    np.savez(path, runs=fingerprints.runs.hashes, names=fingerprints.names.hashes)
