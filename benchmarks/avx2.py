"""Int8 on a laptop without VNNI: the same graph on an emulated AVX2 processor, with and without the session's option.

    apt-get install qemu-user
    python -m benchmarks.avx2

The products of a matrix of random int8 weights are computed by ONNX Runtime on the real processor, and in qemu on one
that has AVX2 and nothing newer. Without `session.x64quantprecision` its kernel adds two products in 16 bits and
saturates. Writes benchmarks/results/avx2.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine, describe_versions

PROCESSOR = "Haswell"  # 2013: AVX2 and FMA, no AVX-512, no VNNI
OUTPUTS, INPUTS, ROWS = 64, 512, 16


def products(is_precise: bool) -> np.ndarray[Any, Any]:
    """(ROWS, OUTPUTS): activations like a model's, a few far out, by random weights, through the int8 graph's nodes."""
    import onnx_ir as ir
    import onnxruntime
    from onnx_ir.tape import Tape

    from exporters.matrices import Matrix
    from exporters.precision import Int8Matrices

    rng = np.random.default_rng(0)
    weight = rng.uniform(-1, 1, (OUTPUTS, INPUTS)).astype(np.float32)
    x = rng.standard_normal((1, ROWS, INPUTS)).astype(np.float32)
    x[:, :, : INPUTS // 8] = np.abs(x[:, :, : INPUTS // 8]) * 3
    tape = Tape()
    value = ir.val("x", ir.DataType.FLOAT, list(x.shape))
    matrices = Int8Matrices(tape)
    matrix = Matrix(name="weight", outputs=OUTPUTS, inputs=INPUTS, read=lambda: weight)
    output = matrices.project(matrices.prepare(value), matrix)
    output.dtype, output.shape = ir.DataType.FLOAT, ir.Shape([None] * 3)
    graph = ir.Graph(
        [value],
        [output],
        nodes=tape.nodes,
        initializers=tape.initializers,
        opset_imports={"": 21, "com.microsoft": 1},
        name="products",
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1" if is_precise else "0")
    proto = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    session = onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    result: np.ndarray[Any, Any] = session.run(None, {"x": x})[0][0]
    return result


def emulated(is_precise: bool) -> np.ndarray[Any, Any]:
    """The same on the emulated processor."""
    command = ["qemu-x86_64", "-cpu", PROCESSOR, os.path.realpath(sys.executable), "-m", "benchmarks.avx2", "--print"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)) or ".", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(["--precise"] if is_precise else [])], env=environment, stdout=subprocess.PIPE, check=True
    )
    return np.array(json.loads(done.stdout))


def main() -> None:
    """Compare, and write what was found."""
    if "--print" in sys.argv:
        print(json.dumps(products("--precise" in sys.argv).tolist()))
        return
    if shutil.which("qemu-x86_64") is None:
        sys.exit("qemu-x86_64 is not here; install qemu-user (Debian), and run it again.")
    here = products(True)
    largest = float(np.abs(here).max())
    differences = {
        name: float(np.abs(emulated(is_precise) - here).max()) / largest
        for name, is_precise in (("without the option", False), ("with the option", True))
    }
    document = {
        "command": "python -m benchmarks.avx2",
        "machine": describe_machine(),
        "versions": describe_versions(),
        "emulated": f"qemu-x86_64 -cpu {PROCESSOR}",
        "largest_difference_of_largest_product": differences,
    }
    print(json.dumps(differences, indent=2))
    write_result("avx2", document)


if __name__ == "__main__":
    main()
