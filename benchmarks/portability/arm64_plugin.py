"""A pytest plugin for a system without torch: the tiny bundle is the one that $TINY_BUNDLE names; the rest skips."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import testbed.bundles

ABSENT = {"torch", "transformers", "optimum", "safetensors", "gguf", "onnx_ir", "peft"}


class _Skips:
    """A finder: a test that imports what only building needs is skipped."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in ABSENT:
            pytest.skip(f"{name} is not here", allow_module_level=True)
        return None


def _copy_tiny_bundle(folder: Path, checkpoint_folder: Path, *, seed: int = 0) -> None:
    if seed:
        pytest.skip("another random model needs torch")
    shutil.copytree(os.environ["TINY_BUNDLE"], folder, ignore=shutil.ignore_patterns("model_*.onnx"))


testbed.bundles.make_tiny_bundle = _copy_tiny_bundle
sys.meta_path.insert(0, _Skips())
