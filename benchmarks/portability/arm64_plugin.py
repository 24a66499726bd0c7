"""A pytest plugin for an emulated system without torch: tests that need it are skipped.

The tiny bundle is a copy of $TINY_BUNDLE. Tests start Python as $EMULATED_PYTHON. What became of each test is a line of
JSON in the file that $OUTCOMES names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import testbed.bundles

ABSENT = {"torch", "transformers", "optimum", "gguf", "onnx_ir", "peft"}


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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down what became of a test; its preparation counts only if it did not go well."""
    if report.when == "call" or report.outcome != "passed":
        _write_down(report, report.duration)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write down a file that was skipped, or did not load."""
    if report.outcome != "passed":
        _write_down(report, 0.0)


def _write_down(report: pytest.TestReport | pytest.CollectReport, seconds: float) -> None:
    crash = getattr(report.longrepr, "reprcrash", None)
    # A skipped test's is (file, line, reason).
    why = crash.message if crash else report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    is_late = report.outcome == "failed" and "from pytest-timeout" in why
    outcome = "timed_out" if is_late else report.outcome
    first = re.sub(r"^Skipped: ", "", why.strip().partition("\n")[0])
    line = {"test": report.nodeid, "outcome": outcome, "why": first[:300], "seconds": round(seconds, 1)}
    with Path(os.environ["OUTCOMES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


sys.executable = os.environ["EMULATED_PYTHON"]
testbed.bundles.make_tiny_bundle = _copy_tiny_bundle
sys.meta_path.insert(0, _Skips())
