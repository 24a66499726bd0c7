"""What `submodel build` needs beyond serving: packages that may be missing, and threads of torch that sleep to wait."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

from contract.children import shell_line
from contract.errors import SubmodelError

_MODULES: Final = (
    "gguf",
    "huggingface_hub",
    "jinja2",
    "onnx",
    "onnx_ir",
    "peft",
    "safetensors",
    "torch",
    "transformers",
)
# The module that each extra adds; that of `build` is any that is missing.
_EXTRAS: Final = {"fleet": "ray", "publish": "cryptography", "bench": "llama_cpp"}
_SPINS: Final = "10000"  # of libgomp, before a thread sleeps


def prepare_to_build(command: str, program: str = "submodel") -> None:
    """Call `limit_spinning`, and raise SubmodelError with the command that installs what is missing."""
    limit_spinning()
    if missing := missing_modules():
        raise SubmodelError(
            f"`{program} {command}` needs {', '.join(missing)}. This installation has what serving needs; add the rest "
            f"with: {install_advice()}"
        )


def limit_spinning() -> None:
    """Let torch's threads wait for each other awake for less than a millisecond, and then asleep.

    Call this before torch is imported. It changes nothing if OMP_WAIT_POLICY is set.
    """
    # Threads that spin for long make a build 1.6 times slower beside two busy processes. Threads that sleep at once
    # make fine-tuning a fifth slower alone: a step has thousands of short products.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": _SPINS}


def missing_modules() -> list[str]:
    """The modules of the build extra that are not installed; none of them is imported."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]


def install_advice(extra: str = "build", prefix: Path | None = None) -> str:
    """Return the line that adds extras to the installation at `prefix` (by default this one), and where to run it.

    Some installers replace the whole environment, and other extras with it, so the line names those that are there.
    It uses the installer that made the environment, and a clone: on the package index, that name may be a stranger's
    until we have released there.
    """
    prefix = prefix or Path(sys.prefix)
    source = f".[{_with_present(extra)}]"
    if (prefix / "uv-receipt.toml").is_file():  # uv tool install
        # Without the backend torch on Linux brings GPU libraries of several gigabytes.
        line = ["uv", "tool", "install", source, "--torch-backend", "cpu"]
    elif (prefix / "pipx_metadata.json").is_file():
        line = ["pipx", "install", "--force", source]
    else:
        line = [sys.executable, "-m", "pip", "install", source]
    return f"`{shell_line(line)}` in a clone of submodel's repository"


def _with_present(extra: str) -> str:
    """Add the extras that are installed to a list of them."""
    present = [name for name, module in _EXTRAS.items() if importlib.util.find_spec(module) is not None]
    wanted = {*extra.split(","), *present, *(() if missing_modules() else ("build",))}
    return ",".join(name for name in ("build", *_EXTRAS) if name in wanted)
