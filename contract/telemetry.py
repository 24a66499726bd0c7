"""Switches off the telemetry of the libraries that we load, before they are loaded.

ONNX Runtime's wheels (its Privacy.md) and onnxruntime-genai queue events about each session, with a name for the
machine, under the user's cache folder and send them to Microsoft; Ray and huggingface_hub tell theirs. Each package
here calls `turn_off_telemetry` before any module of it can load one of them, and child processes inherit the
environment.
"""

from __future__ import annotations

import os
from typing import Final

SWITCHES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # read while the library is loaded; its Python function is too late for one event
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def turn_off_telemetry() -> None:
    """Set the switches for this process and those that it starts, whatever they were."""
    os.environ.update(SWITCHES)
