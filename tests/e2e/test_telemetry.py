"""What runs ONNX Runtime leaves nothing to be sent: neither a queue of events nor a name for the machine.

Ray and huggingface_hub leave no file. Their switches are on before anything looks for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.bundle.bundle import Bundle
from contract.telemetry import SWITCHES

# Imports a module, then says of each library whether the switches were on whenever it was looked for.
LOOK = f"""
import importlib.util, os, sys
class Noting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("huggingface_hub", "onnxruntime", "ray"):
            switches = {SWITCHES}.items()
            print(name, all(os.environ.get(switch) == value for switch, value in switches))
sys.meta_path.insert(0, Noting)
importlib.import_module(sys.argv[1])
for name in ("huggingface_hub", "onnxruntime", "ray"):
    importlib.util.find_spec(name)
"""


def files_left_by(command: list[str], home: Path) -> list[str]:
    """The files that a command leaves under a fresh home folder, by their paths there."""
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    places = (
        "HOME",
        "USERPROFILE",
        "LOCALAPPDATA",
        *(f"XDG_{kind}_HOME" for kind in ("CACHE", "CONFIG", "DATA", "STATE")),
    )
    subprocess.run(command, env=environment | dict.fromkeys(places, str(home)), check=True, capture_output=True)
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


@pytest.fixture
def _reports_by_default(tmp_path: Path) -> None:
    """Builds of ONNX Runtime without telemetry leave nothing anyway."""
    if not files_left_by([sys.executable, "-c", "import onnxruntime"], tmp_path / "control"):
        pytest.skip("this ONNX Runtime has no telemetry")


@pytest.mark.usefixtures("_reports_by_default")
def test_a_completion_leaves_no_event(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (file := tmp_path / "code.py").write_text("area = 1\n")
    command = [sys.executable, "-m", "submodel", "complete", str(file), "--line", "0", "--character", "4"]
    assert files_left_by([*command, "--bundle", str(tiny_bundle.folder)], tmp_path / "home") == []


@pytest.mark.usefixtures("_reports_by_default")
@pytest.mark.parametrize(
    "module", ["exporters.parity", "lsp_server.decoding.runtime", "laboratory.bench.bundle_worker"]
)
def test_no_module_loads_it_before_the_switch(module: str, tmp_path: Path) -> None:
    assert files_left_by([sys.executable, "-c", f"import {module}"], tmp_path / "home") == []


@pytest.mark.parametrize(
    "module",
    ["submodel", "laboratory", "fleet", "lsp_server", "exporters", "contract", "builder.bases.hub", "submodel.app"],
)
def test_the_switches_are_on_when_a_library_is_first_looked_for(module: str) -> None:
    environment = os.environ | dict.fromkeys(SWITCHES, "a user's own value")
    done = subprocess.run([sys.executable, "-c", LOOK, module], env=environment, check=True, capture_output=True)
    assert sorted(set(done.stdout.decode().splitlines())) == ["huggingface_hub True", "onnxruntime True", "ray True"]
