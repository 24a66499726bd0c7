"""Submodel: a smaller code model, fitted to your repository, served to your editor."""

import importlib.util
from pathlib import Path

__version__ = "0.1.0"


def _refuse_other_packages() -> None:
    """End with a sentence if Python finds another package by the name of one of ours, as PYTHONPATH may have it."""
    ours = Path(__file__).parents[1].resolve()
    for name in ("contract", "builder", "exporters", "lsp_server"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        is_package = spec.submodule_search_locations is not None  # else it is a file of that name
        folder = Path(spec.origin).parents[1 if is_package else 0]
        if not is_package or folder.resolve() != ours:
            raise SystemExit(
                f"submodel: Python finds another package {name!r} in {str(folder)!r} before submodel's own; take that "
                "folder out of PYTHONPATH, or start submodel in another folder."
            )


_refuse_other_packages()

from contract.telemetry import turn_off_telemetry  # noqa: E402

turn_off_telemetry()
