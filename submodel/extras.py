"""What `submodel build` needs beyond serving: packages that a laptop may lack, and a considerate torch."""

from __future__ import annotations

import importlib.util
import os

from contract.errors import SubmodelError

_MODULES = (
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


def prepare_to_build(command: str) -> None:
    """Call before torch is imported; raises SubmodelError with the command that installs what is missing."""
    # Threads that spin at barriers make a build 1.6 times slower beside two busy processes, and gain nothing alone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if missing := missing_modules():
        raise SubmodelError(
            f"`submodel {command}` needs {', '.join(missing)}, which serving does without; "
            "install them with: pip install 'submodel[build]'."
        )


def missing_modules() -> list[str]:
    """The modules of the build extra that are not installed; none of them is imported."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]
