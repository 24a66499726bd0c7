"""ONNX Runtime, set up for one person's laptop: how many threads, what to optimise."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import onnxruntime

from contract.processor import default_threads
from contract.runtime_errors import RUNTIME_ERRORS
from contract.session_config import session_config
from lsp_server.decoding.providers import RUNTIME_NAMES, Provider
from lsp_server.serve_errors import ServeError


def offered_providers() -> list[str]:
    """Return what this ONNX Runtime can run on, by its own names."""
    return list(onnxruntime.get_available_providers())


def open_session(
    model_path: Path, threads: int | None = None, provider: Provider = Provider.CPU
) -> onnxruntime.InferenceSession:
    """Return a session over an ONNX file; `threads` is the number of cores to use, by default `default_threads()`.

    Operators that `provider` lacks run on the processor. Raises ServeError if the file is not a model that this version
    of ONNX Runtime can run, or the provider does not start.
    """
    onnxruntime.disable_telemetry_events()  # older builds for Windows know no other switch (contract/telemetry.py)
    if provider is Provider.CUDA:
        onnxruntime.preload_dlls()  # NVIDIA's wheels beside it, which the system's loader doesn't find
    names = list(dict.fromkeys((RUNTIME_NAMES[provider], RUNTIME_NAMES[Provider.CPU])))
    try:
        session = onnxruntime.InferenceSession(str(model_path), session_options(threads), providers=names)
    except RUNTIME_ERRORS as error:
        raise ServeError(
            f"ONNX Runtime {onnxruntime.__version__} can't load {model_path} ({error}); install a newer one, or build "
            "the bundle again."
        ) from error
    if names[0] not in session.get_providers():
        advice = "check its driver and its libraries, or set the provider to cpu"
        raise ServeError(f"ONNX Runtime's {names[0]} did not start; {advice}.")
    return_freed_memory()
    return session


def session_options(threads: int | None = None) -> onnxruntime.SessionOptions:
    """Return the options of a session; `threads` as in `open_session`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only; they go to stderr
    for name, value in session_config(onnxruntime.__version__).items():
        options.add_session_config_entry(name, value)
    # Memory patterns are kept for each shape that was ever seen, and here each step has another shape.
    options.enable_mem_pattern = False
    return options


def return_freed_memory() -> None:
    """Return to the system what was freed, after loading a fifth of the process; glibc would keep it."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
