"""What a bundle answers at positions of a repository, each from nothing, kept beside the build from run to run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.builds import mark_of, size_of
from builder.evaluation.metrics import bootstrap, is_exact
from builder.fim_examples import FimExample
from contract.bundle.bundle import read_bundle
from laboratory.bench.workload import Keystroke, hash_strokes
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine
from lsp_server.options import PATIENT
from lsp_server.request import CompletionRequest
from submodel.evaluation.bundle_predictor import nats_of


def answers_of(arm: str, number: int, folder: Path, strokes: Sequence[Keystroke]) -> dict[str, Any]:
    """Return what `ask` returns for the model of an arm at a point. An earlier run's answers are kept beside its mark.

    Stops if there are none and the model has been brought to a later point: it has learned the lines that are asked.
    """
    kept = folder / ".submodel" / f"answers-{number}-{arm}.json"
    asked = hash_strokes(strokes)
    if kept.exists():
        document = json.loads(kept.read_text())
        if document["asked"] == asked:
            return dict(document["answers"])
    numbers = {int(mark.stem.rpartition("-")[2]) for mark in kept.parent.glob(mark_of(folder, "*").name)}
    if max(numbers, default=0) > number:
        raise SystemExit(
            f"The model in {kept.parent} was updated after point {number}, whose answers to these lines were not kept; "
            f"remove {folder} to start from the beginning."
        )
    answers = ask(kept.parent / "bundle", strokes)
    kept.write_text(json.dumps({"asked": asked, "answers": answers}))
    return answers


def ask(bundle: Path, strokes: Sequence[Keystroke]) -> dict[str, Any]:
    """Each position from nothing, through the product's completer."""
    engine = Engine(read_bundle(bundle, verify=False))
    completer = Completer(engine)
    exact, bits, milliseconds = [], [], []
    for stroke in strokes:
        engine.memory.clear()
        text = stroke.before + stroke.behind
        request = CompletionRequest(text=text, offset=len(stroke.before), path=stroke.path, options=PATIENT)
        started = time.perf_counter()
        answer = completer.complete(request)
        milliseconds.append(round((time.perf_counter() - started) * 1000, 1))
        exact.append(is_exact(answer.text, stroke.truth))
        bits.append(round(bits_of(engine, stroke), 3))
    clusters = [stroke.cluster for stroke in strokes]
    share = bootstrap(lambda drawn: sum(exact[index] for index in drawn) / len(drawn), len(exact), files=clusters)
    return {
        "exact_match": round(share.value, 4),
        "interval": [round(share.low, 4), round(share.high, 4)],
        "exact": "".join("01"[is_right] for is_right in exact),
        "bits": bits,
        "milliseconds": milliseconds,
        "bundle_bytes": size_of(bundle),
    }


def bits_of(engine: Engine, stroke: Keystroke) -> float:
    """Return the bits that a model needs for the rest of a line, asked as the server asks for it."""
    example = FimExample.of_parts(stroke.before, stroke.truth, stroke.behind, path=stroke.path)
    example = example.as_served(engine.encoder)
    prompt = example.prompt(engine.encoder)
    truth = engine.encoder.text_ids(example.middle)
    return nats_of(engine.logits_behind(prompt, truth), truth) / math.log(2)
