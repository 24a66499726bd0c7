"""Source code as package indexes distribute it: which index, which package, which version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.errors import CorpusError

# The index's name → what stands between a package and its version in its own client's language.
SEPARATORS: Final = {"pypi": "==", "wheel": "==", "npm": "@", "debian": "="}
_NAME: Final = re.compile(r"@?[A-Za-z0-9][\w.+/-]*")
_VERSION: Final = re.compile(r"[A-Za-z0-9][\w.+:~-]*")


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One package's source. `index`: "pypi" (source distribution), "wheel" (a pure one), "npm" or "debian" (source)."""

    index: str
    name: str
    version: str
    licence: str = ""  # SPDX, where the project lists it
    sha256: str = ""  # of the archive, where the project lists it

    @property
    def requirement(self) -> str:
        """As the index's own client wants it."""
        return f"{self.name}{SEPARATORS[self.index]}{self.version}"

    @property
    def path(self) -> Path:
        """Relative, under which it is kept: indexes may differ under one name, and a listed hash in what they hold."""
        checked = f"-{self.sha256[:12]}" if self.sha256 else ""
        return Path(self.index, f"{self.name.replace('/', '_')}-{self.version}{checked}")

    def __str__(self) -> str:
        return f"{self.index}:{self.requirement}"


def is_distribution(spec: str) -> bool:
    """Whether a text means to name a distribution."""
    return spec.partition(":")[0] in SEPARATORS


def parse_distribution(spec: str) -> Distribution:
    """`pypi:NAME==VERSION`, `wheel:NAME==VERSION`, `npm:NAME@VERSION` or `debian:NAME=VERSION`.

    Raises CorpusError for anything else; a version is needed, so that the same words mean the same text tomorrow.
    """
    index, _, rest = spec.partition(":")
    separator = SEPARATORS.get(index, "")
    name, found, version = rest.rpartition(separator) if separator else ("", "", "")
    if not found or not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        forms = ", ".join(f"{known}:NAME{separator}VERSION" for known, separator in SEPARATORS.items())
        raise CorpusError(f"{spec!r} names no source distribution; give one of {forms}.")
    return Distribution(index=index, name=name, version=version)
