"""What each precision of a bundle takes, loses and does a second on this machine.

    python -m benchmarks.portability.precisions BUNDLE [--name NAME]

Size is that of the graph's file, loss and agreement are those that the export measured against float32 (bundle.json).
Prompt and decode speed are the engine's without drafts, medians over turns in which every precision has its own, so
that what else the machine does falls on all alike. Writes benchmarks/results/precisions-NAME.json.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.builds import write_result
from contract.bundle.bundle import Bundle, read_bundle
from contract.processor import default_threads
from laboratory.bench.bundle_worker import measure_speed
from lsp_server.decoding.engine import Engine
from lsp_server.decoding.huge_pages import use_huge_pages

PROMPT, STEPS, TURNS = 512, 32, 5
TEXT = Path(__file__).with_name("runtimes.py").read_text("utf-8")


def main() -> None:
    """Open all, measure in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--name", help="of the result's file; default: the base's")
    known = parser.parse_args()
    bundle = read_bundle(known.bundle.absolute())
    name = known.name or str(bundle.manifest["base"]["name"])
    document = {
        "command": f"python -m benchmarks.portability.precisions {known.bundle.name} --name {name}",
        "threads": default_threads(),
        "prompt_tokens": PROMPT,
        "steps": STEPS,
        "precisions": measure(bundle),
    }
    write_result(f"precisions-{name}", document)
    print(json.dumps(document["precisions"], indent=2))


def measure(bundle: Bundle) -> list[dict[str, Any]]:
    """A row a precision, the largest file first."""
    graphs = dict(sorted(bundle.graphs.items(), key=lambda one: -one[1].stat().st_size))
    engines = {precision: Engine(replace(bundle, model_path=graph)) for precision, graph in graphs.items()}
    use_huge_pages()
    times: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn in range(TURNS + 1):
        for precision, engine in engines.items():
            speed = measure_speed(engine, TEXT, PROMPT, STEPS)
            if turn:  # the first warms up
                times[precision].append(speed)
    return [
        {
            "precision": precision,
            "file": graph.name,
            "bytes": graph.stat().st_size,
            **_parity(bundle.manifest, precision),
            "prompt_tokens_per_s": median(one["prompt_tokens"] / one["prompt_s"] for one in times[precision]),
            "decode_tokens_per_s": median(one["decode_tokens"] / one["decode_s"] for one in times[precision]),
        }
        for precision, graph in graphs.items()
    ]


def _parity(manifest: Mapping[str, Any], precision: str) -> dict[str, Any]:
    variant = manifest.get("variants", {}).get(precision, manifest)
    return {key: variant["parity"].get(key) for key in ("greedy_agreement", "loss_increase")}


if __name__ == "__main__":
    main()
