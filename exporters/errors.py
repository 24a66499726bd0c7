"""What can go wrong between a checkpoint and its bundle, each as one sentence: what happened, where, what to do next.

It imports nothing heavy, since the language server catches these too.
"""

from __future__ import annotations

from typing import Any

from builder.errors import SubmodelError


class ExportError(SubmodelError):
    """A checkpoint can't be exported, failed its parity check, or its bundle can't be written."""


class ParityError(ExportError):
    """A quantized graph does not answer as its checkpoint does; `report` holds what was measured."""

    report: Any = None  # an `exporters.parity.ParityReport`, whose module is heavy


class BundleError(SubmodelError):
    """A bundle is missing, incomplete, changed, or of another kind than its reader expects."""
