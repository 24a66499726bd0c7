"""How ONNX Runtime is set up, as its arithmetic shows."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own: what the first session of a process decides holds for its thread for good.
PROGRAM = """
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from lsp_server.decoding.runtime import session_options

shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "square", shape[:1], shape[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1), ["CPUExecutionProvider"])
print(session.run(None, {"x": np.full(4, 1e-21, np.float32)})[0].tolist())
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="the runtime can do it on x86 alone")
def test_denormal_numbers_are_zero() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[0.0, 0.0, 0.0, 0.0]"  # else 1e-42
