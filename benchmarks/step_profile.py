"""Where a decoding step's time goes, node by node, and what share of the memory's bandwidth it reaches.

    python -m benchmarks.step_profile BUNDLE

A step reads every weight once, so that the bytes of the weights over the bandwidth are the least time that it can take.
Both are measured here: bandwidth as the best of several searches through vectors that no cache holds, one a thread; a
step as the median over many after a prompt, without the profiler. The profiler, in a session of its own, then tells how
the time divides. Writes benchmarks/results/step-profile.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx

from benchmarks.builds import write_result
from benchmarks.machine import describe_machine, describe_versions
from contract.bundle.bundle import Bundle, read_bundle
from contract.processor import default_threads
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.huge_pages import use_huge_pages
from lsp_server.decoding.runtime import session_options

PROMPT = 1_024  # tokens before the steps, about what a window holds
STEPS = 64
VECTOR_BYTES = 1 << 29


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle)
    threads = default_threads()
    bandwidth = measure_bandwidth(threads)
    weights, cache = step_bytes(bundle)
    step_s = measure_step(bundle)
    least_s = (weights + cache) / bandwidth
    document = {
        "command": "python -m benchmarks.step_profile BUNDLE",
        "base": bundle.manifest["base"]["name"],
        "threads": threads,
        "bandwidth_bytes_per_s": round(bandwidth),
        "weight_bytes_a_step": weights,
        "cache_bytes_a_step": cache,
        "step_ms": round(step_s * 1000, 2),
        "least_step_ms": round(least_s * 1000, 2),
        "share_of_bandwidth": round(least_s / step_s, 3),
        "profile": profile_step(bundle),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    write_result("step-profile", document)
    print(json.dumps({key: value for key, value in document.items() if key not in ("machine", "versions")}, indent=2))


def measure_bandwidth(threads: int) -> float:
    """Bytes a second that so many threads read together, the best of ten rounds."""
    vectors = [np.ones(VECTOR_BYTES // 4, np.float32) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for _ in range(10):
            started = time.perf_counter()
            list(pool.map(np.max, vectors))
            best = max(best, threads * VECTOR_BYTES / (time.perf_counter() - started))
    return best


def step_bytes(bundle: Bundle) -> tuple[int, int]:
    """What one step reads: of the weights (an embedding is looked up, not read), and of the cache behind PROMPT."""
    graph = onnx.load(bundle.model_path, load_external_data=False).graph
    read = {name for node in graph.node if node.op_type != "Gather" for name in node.input}
    sizes = {
        tensor.name: int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in graph.initializer
    }
    shape = bundle.architecture
    cache = 2 * shape.layers * shape.kv_heads * shape.head_dim * PROMPT * 4
    return sum(size for name, size in sizes.items() if name in read), cache


def measure_step(bundle: Bundle) -> float:
    """Median seconds of one plain step."""
    engine = Engine(bundle)
    use_huge_pages()
    decoder = engine.decoder
    decoder.feed(prompt_of(engine))
    times = []
    for _ in range(STEPS):
        token = int(decoder.feed([decoder.cache.tokens[-1]])[0].argmax())
        started = time.perf_counter()
        decoder.feed([token])
        times.append(time.perf_counter() - started)
    return median(times)


def prompt_of(engine: Engine) -> Sequence[int]:
    """PROMPT tokens of Python."""
    ids = engine.encoder.text_ids(Path(__file__).read_text("utf-8") * 4)
    return ids[:PROMPT]


def profile_step(bundle: Bundle) -> dict[str, Any]:
    """Milliseconds of a step by operator, as ONNX Runtime's profiler has them, and the ten slowest nodes."""
    names: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        options = session_options()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "step")
        with patch("lsp_server.decoding.runtime.session_options", lambda threads: options):
            engine = Engine(bundle)
        decoder = engine.decoder
        decoder.feed(prompt_of(engine))
        for _ in range(STEPS):
            decoder.feed([decoder.cache.tokens[-1]])
        events = json.loads(Path(decoder._session.end_profiling()).read_text("utf-8"))
    began_us = [event["ts"] for event in events if event["name"] == "model_run"][-STEPS]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= began_us:
            kind = event["args"]["op_name"]
            kinds[kind] += event["dur"]
            counts[kind] += 1
            names[event["name"].removesuffix("_kernel_time")] += event["dur"]
    to_ms = 1 / (1000 * STEPS)
    return {
        "operators": {
            kind: {"ms": round(total * to_ms, 3), "nodes": counts[kind] // STEPS} for kind, total in kinds.most_common()
        },
        "slowest_nodes_ms": {name: round(total * to_ms, 3) for name, total in names.most_common(10)},
    }


if __name__ == "__main__":
    main()
