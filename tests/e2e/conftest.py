"""A workspace with a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle


@pytest.fixture
def workspace(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle.folder, tmp_path / ".submodel" / "bundle")
    return tmp_path
