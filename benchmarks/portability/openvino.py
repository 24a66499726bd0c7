"""A bundle in OpenVINO's provider beside the processor's own: does it load, are answers equal, which is faster.

    python -m venv FOLDER && FOLDER/bin/pip install onnxruntime-openvino
    python -m benchmarks.portability.openvino BUNDLE --python FOLDER/bin/python

Both providers are of one ONNX Runtime and take turns in one process. A turn reads a prompt and takes steps after it.
For a prompt, OpenVINO computes the logits of all positions, since it takes no optional input (`lsp_server/decoding/`).
Answers are compared word for word: each provider reads the prompt with the processor's answer, and a step is the same
if its most probable token is. Times are the wall clock's and the processor's, of all threads: where other programs
use the machine too, only the latter compare. Writes benchmarks/results/openvino.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.builds import write_document
from benchmarks.machine import describe_machine

CHECKOUT = Path(__file__).parents[2]
TIMES = ("prompt_ms", "step_ms", "prompt_cpu_ms", "step_cpu_ms")
# Runs in the other environment. Arguments: bundle, turns, prompt tokens, steps.
COMPARE = """
import json, sys, time
from pathlib import Path
import numpy as np, onnxruntime
from contract.bundle.bundle import read_bundle
from lsp_server.decoding.decoder import Decoder
from lsp_server.decoding.detokenizer import load_tokenizer
from lsp_server.decoding.kv_cache import KvCache
from lsp_server.decoding.providers import Provider
bundle = read_bundle(Path(sys.argv[1]))
turns, prompt_tokens, steps = map(int, sys.argv[2:])
shape = bundle.architecture
text = Path("lsp_server/completion.py").read_text("utf-8")
ids = load_tokenizer(bundle.tokenizer_path).encode(text).ids
found, decoders = {}, {}

def timed(decoder, tokens, times, name):
    began, cpu = time.perf_counter(), time.process_time()
    token = int(decoder.feed(tokens)[0].argmax())
    times[name + "_ms"].append((time.perf_counter() - began) * 1000)
    times[name + "_cpu_ms"].append((time.process_time() - cpu) * 1000)
    return token

for provider in (Provider.CPU, Provider.OPENVINO):
    began = time.perf_counter()
    cache = KvCache(layers=shape.layers, kv_heads=shape.kv_heads, head_dim=shape.head_dim, max_positions=2048)
    decoder = Decoder(bundle.model_path, cache, shape.vocab_size, threads=2, provider=provider)
    decoder.feed(ids[:8])
    decoders[provider] = decoder
    found[provider] = {"load_s": time.perf_counter() - began, "providers": decoder._session.get_providers(),
                       "prompt_ms": [], "step_ms": [], "prompt_cpu_ms": [], "step_cpu_ms": [], "same": 0, "steps": 0}
for turn in range(turns):
    prompt, answer = ids[turn * prompt_tokens : (turn + 1) * prompt_tokens], []
    for provider, decoder in list(decoders.items())[:: 1 if turn % 2 else -1]:
        decoder.cache.keep(0)
        token = timed(decoder, prompt, found[provider], "prompt")
        tokens = []
        for _ in range(steps):
            tokens.append(token)
            token = timed(decoder, [token], found[provider], "step")
        if provider is Provider.CPU:
            answer = tokens
    for provider, decoder in decoders.items():
        decoder.cache.keep(0)
        chosen = decoder.feed([*prompt, *answer[:-1]], keep=steps).argmax(axis=1).tolist()
        found[provider]["chosen"] = chosen
        found[provider]["same"] += sum(map(int.__eq__, chosen, found[Provider.CPU]["chosen"]))
        found[provider]["steps"] += steps
for one in found.values():
    del one["chosen"]
print(json.dumps({"onnxruntime": onnxruntime.__version__, "found": found}))
"""


def main() -> None:
    """Compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", required=True, help="of the environment with onnxruntime-openvino")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=24)
    known = parser.parse_args()
    # That environment's ONNX Runtime comes first; for all else that serving needs, this one's packages do.
    ours = [path for path in sys.path if path.endswith("site-packages")]
    theirs = subprocess.run(
        [known.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    paths = os.pathsep.join((theirs.strip(), str(CHECKOUT), *ours))
    numbers = map(str, (known.turns, known.prompt_tokens, known.steps))
    done = subprocess.run(
        [known.python, "-c", COMPARE, str(known.bundle.absolute()), *numbers],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        check=True,
    )
    document = json.loads(done.stdout)
    for one in document["found"].values():
        one |= {f"median_{name}": round(statistics.median(one.pop(name)), 1) for name in TIMES}
        one["load_s"] = round(one["load_s"], 1)
    found: dict[str, Any] = document["found"]
    ratios = {name: round(found["cpu"][f"median_{name}"] / found["openvino"][f"median_{name}"], 2) for name in TIMES}
    whole = {
        "command": f"python -m benchmarks.portability.openvino {known.bundle.name} --python PYTHON",
        **document,
        "times_as_fast_as_the_processor_s": ratios,
        "machine": describe_machine(),
    }
    print(json.dumps(whole, indent=2))
    write_document("openvino", whole)


if __name__ == "__main__":
    main()
