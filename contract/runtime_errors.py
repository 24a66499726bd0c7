"""What ONNX Runtime raises: its errors share no base, and with IOBinding it raises the plain RuntimeError."""

from __future__ import annotations

from onnxruntime.capi import onnxruntime_pybind11_state as runtime

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    runtime.EPFail,
    runtime.EngineError,
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoModel,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
)
