"""A bundle beside llama.cpp in the precisions that people use, and beside other runtimes, in one `submodel bench`.

    python -m benchmarks.beside_llama_cpp OUTPUT WHOLE REPO --base qwen2.5-coder-0.5b --llama-python PYTHON

OUTPUT is what `submodel build` of REPO wrote, and WHOLE what it wrote with `--size 1`. The dense base's Q4_K_M is the
published file that the build read; Q8_0 and Q4_0 are made here, of the base as it was before fine-tuning, and so are
those of the sub-model.
"Right" is judged by the exact match of the same lines. Writes benchmarks/results/bench-BASE-REPO.json.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.builds import run_program, write_result
from benchmarks.machine import describe_machine, describe_versions
from builder.bases.resolve import resolve_base
from contract.console import StageDisplay
from exporters.gguf_export import GgufPrecision, export_gguf
from laboratory.bench.bench_run import BenchSettings, run_bench
from laboratory.bench.bench_table import print_bench
from laboratory.bench.runtime_worker import RUNTIMES
from laboratory.bench.workload import WorkloadSettings

# llama.cpp's own quantizer, which only its library has.
QUANTIZE = """
import ctypes, sys
import llama_cpp
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(parameters)))
"""


def main() -> None:
    """Make the files, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("whole", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--llama-python", required=True, help="a Python that has llama-cpp-python")
    parser.add_argument("--passages", type=int, default=20)
    arguments = parser.parse_args()
    published = resolve_base(arguments.base, on_event=print).path
    with tempfile.TemporaryDirectory() as room:
        dense = quantized(arguments.whole / "pruned", Path(room) / "dense", arguments.llama_python)
        ours = quantized(arguments.output / "model", Path(room) / "sub-model", arguments.llama_python)
        peers = [
            ("llama.cpp Q4_K_M", published),
            *((f"llama.cpp {name}", path) for name, path in dense.items()),
            *((f"llama.cpp {name}, sub-model", path) for name, path in ours.items()),
        ]
        settings = BenchSettings(
            bundle=arguments.output / "bundle",
            repository=arguments.repository,
            peers=tuple(peers),
            runtimes=RUNTIMES,
            peer_python=arguments.llama_python,
            workload=WorkloadSettings(passages=arguments.passages),
        )
        with StageDisplay() as display:
            document: dict[str, Any] = run_bench(settings, display)
    print_bench(document)
    name = arguments.repository.name
    reported = {
        "command": f"python -m benchmarks.beside_llama_cpp OUTPUT WHOLE {name} --base {arguments.base} "
        f"--llama-python PYTHON --passages {arguments.passages}",
        **document,
        "machine": describe_machine(),
        "versions": {**describe_versions(), **document["versions"]},
    }
    write_result(f"bench-{arguments.base}-{name.rsplit('-', 1)[0]}", reported)


def quantized(model: Path, stem: Path, llama_python: str) -> dict[str, Path]:
    """The model in Q8_0, by our exporter, and in Q4_0, by llama.cpp's quantizer."""
    eight, half, four = (stem.with_suffix(f".{kind}.gguf") for kind in ("q8_0", "f16", "q4_0"))
    export_gguf(model, eight, GgufPrecision.INT8)
    export_gguf(model, half, GgufPrecision.FP16)
    subprocess.run([llama_python, "-c", QUANTIZE, str(half), str(four)], check=True, stderr=subprocess.DEVNULL)
    half.unlink()
    return {"Q8_0": eight, "Q4_0": four}


if __name__ == "__main__":
    run_program(main)
