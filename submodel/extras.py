"""Whether what `submodel build` needs is installed: a laptop that only serves does without."""

from __future__ import annotations

import importlib.util

from builder.errors import SubmodelError


def require_build_extra(command: str) -> None:
    """Raise SubmodelError with the command that installs what is missing."""
    missing = [name for name in ("torch", "transformers", "onnx", "onnx_ir") if importlib.util.find_spec(name) is None]
    if missing:
        raise SubmodelError(
            f"`submodel {command}` needs {', '.join(missing)}, which serving does without; "
            "install them with: pip install 'submodel[build]'."
        )
