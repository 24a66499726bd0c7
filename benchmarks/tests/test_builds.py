"""How a benchmark ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.builds import run_program
from contract.bundle.bundle import read_bundle


def test_what_a_user_can_mend_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no bundle"):
        run_program(lambda: print(read_bundle(tmp_path)))
    with pytest.raises(SystemExit, match="exit status 3"):
        run_program(lambda: print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)))
