"""Int8 on a laptop without VNNI: the products on an emulated AVX2 processor, with the session's option and without.

    apt-get install qemu-user
    python -m benchmarks.portability.avx2

ONNX Runtime multiplies by a matrix of random int8 weights on the real processor, and in qemu on one that has AVX2 and
nothing newer. Without `session.x64quantprecision` its kernel there adds two products in 16 bits and saturates. Takes
some minutes, nearly all of them to import numpy and ONNX Runtime in the emulator. Writes benchmarks/results/avx2.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from benchmarks.builds import write_result
from contract.children import find_program
from exporters.precision import Int8Matrices
from testbed.graphs import matrix_of, model_of

PROCESSOR = "Haswell-v4"  # of 2013, without transactions: AVX2 and FMA, no AVX-512, no VNNI
OUTPUTS, INPUTS, ROWS = 64, 512, 16
# Imports nothing that it can do without. Arguments: folder. Writes products-0.npy and products-1.npy there.
PROGRAM = """
import sys, numpy, onnxruntime
folder = sys.argv[1]
for option in "01":
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", option)
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    x = numpy.load(f"{folder}/x.npy")
    numpy.save(f"{folder}/products-{option}.npy", session.run(None, {"x": x})[0])
"""


def write_model(folder: Path) -> np.ndarray[Any, Any]:
    """The nodes of the int8 graph around one matrix, its input, and the product in float64 of the restored weights.

    An eighth of the channels is large and of one sign, as a model's outliers are.
    """
    rng = np.random.default_rng(0)
    weight = rng.uniform(-1, 1, (OUTPUTS, INPUTS)).astype(np.float32)
    weight[:, : INPUTS // 8] = np.abs(weight[:, : INPUTS // 8])
    x = rng.standard_normal((1, ROWS, INPUTS)).astype(np.float32)
    x[:, :, : INPUTS // 8] = np.abs(x[:, :, : INPUTS // 8]) * 3
    model = model_of(
        Int8Matrices, lambda matrices, rows: matrices.project(matrices.prepare(rows), matrix_of(weight)), x
    )
    ir.save(model, folder / "model.onnx")
    np.save(folder / "x.npy", x)
    products: np.ndarray[Any, Any] = x[0].astype(np.float64) @ weight.astype(np.float64).T
    return products


def compute(folder: Path, *prefix: str) -> dict[str, np.ndarray[Any, Any]]:
    """What ONNX Runtime makes of the model, without the option ("0") and with it ("1")."""
    paths = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [*prefix, os.path.realpath(sys.executable), "-c", PROGRAM, str(folder)]
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True)
    return {option: np.load(folder / f"products-{option}.npy")[0] for option in "01"}


def main() -> None:
    """Compare, and write what was found."""
    qemu = find_program("qemu-x86_64")
    if qemu is None:
        sys.exit("qemu-x86_64 is not here; install qemu-user (Debian), and run it again.")
    with tempfile.TemporaryDirectory() as scratch:
        exact = write_model(Path(scratch))
        found = {
            "this processor": compute(Path(scratch)),
            PROCESSOR: compute(Path(scratch), qemu, "-cpu", PROCESSOR),
        }
    largest = np.abs(exact).max()
    errors = {
        processor: {
            name: float(np.abs(products[option] - exact).max() / largest)
            for option, name in (("0", "without the option"), ("1", "with the option"))
        }
        for processor, products in found.items()
    }
    document = {
        "command": "python -m benchmarks.portability.avx2",
        "emulated": f"qemu-x86_64 -cpu {PROCESSOR}",
        "largest_error_of_largest_product": errors,
    }
    print(json.dumps(errors, indent=2))
    write_result("avx2", document)


if __name__ == "__main__":
    main()
