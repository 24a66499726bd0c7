"""One point of a sweep: a base, pruned one way, measured on held-out text. A task needs nothing but its document.

The document is JSON, so that a process or a machine elsewhere can do the work. It names datasets and base, with the
hashes of their contents. A worker that finds other contents refuses, since its figures would not compare.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from builder.bases.load import LoadedBase, load_base
from builder.versions import PIPELINE_VERSION
from contract.errors import SubmodelError
from laboratory.datasets import Dataset, open_dataset
from laboratory.experiments.method import MethodSettings, apply_method
from laboratory.experiments.quality import QualitySettings, measure_quality
from laboratory.experiments.study_options import choose_dtype

# To be raised if the same document gives other figures; together with PIPELINE_VERSION if `builder.pruning` changes.
POINT_VERSION = 5


class Unprepared(SubmodelError):
    """The point can't be measured on this machine now; another machine might, or this one later."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is measured. `method` None: the dense base; `calibration` is ignored."""

    base: str
    base_sha256: str
    calibration: tuple[str, ...]  # datasets, mixed in equal shares
    measured_on: tuple[str, ...]  # datasets, each for itself
    fingerprints: Mapping[str, str]  # of every dataset's corpus
    method: MethodSettings | None
    quality: QualitySettings
    dtype: str  # float32 or bfloat16: the same for all points that are to compare
    # Of the structured method: bytes to learn from by split, the same for all mixtures that are to compare.
    most_bytes: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document that `measure_point` takes."""
        return asdict(self) | {"version": POINT_VERSION}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Point:
        """Read what `to_json` wrote, on this machine or another; raises Unprepared for another version's."""
        if document.get("version") != POINT_VERSION:
            raise Unprepared("The sweep's point is of another version of submodel; install one version everywhere.")
        reported = {key: value for key, value in document.items() if key != "version"}
        method = reported["method"]
        return cls(
            **{
                **reported,
                "calibration": tuple(reported["calibration"]),
                "measured_on": tuple(reported["measured_on"]),
                "method": None if method is None else MethodSettings(**method),
                "quality": QualitySettings(**reported["quality"]),
            }
        )

    @property
    def key(self) -> str:
        """A hash of all that the point's figures depend on, but for the number of threads."""
        document = self.to_json() | {"pipeline": PIPELINE_VERSION, "torch": torch.__version__}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    @property
    def label(self) -> str:
        """A name for people and for files."""
        if self.method is None:
            return "dense"
        datasets = "+".join(re.sub(r"[^\w.+-]", "-", spec)[-24:] for spec in self.calibration)
        return f"{self.method.method}-{self.method.sparsity:g}-{datasets[:99]}-seed{self.method.seed}"


def measure_point(document: Mapping[str, Any], threads: int | None = None) -> dict[str, Any]:
    """Prune and measure; return the figures by dataset, and what was pruned.

    Raises SubmodelError; Unprepared if only this machine can't do it.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    point = Point.from_json(document)
    datasets, base = _gather(point)
    facts: Mapping[str, Any] = {}
    if point.method is None:
        from contract.prompt import PromptEncoder

        model, encoder = base.model, PromptEncoder(base.tokenizer, base.prompt)
    else:
        chosen = [datasets[spec] for spec in point.calibration]
        outcome = apply_method(base, chosen, point.method, most_bytes=point.most_bytes)
        model, encoder, facts = outcome.model, outcome.encoder, outcome.plan
    pruned_s = time.perf_counter() - started
    quality = {
        datasets[spec].name: measure_quality(model, encoder, datasets[spec], point.quality)
        for spec in point.measured_on
    }
    return {
        "quality": quality,
        "removed_share": _removed_share(point, facts, base.provenance["parameters"]),
        "plan": {key: value for key, value in facts.items() if key != "layer_ridge"},
        "threads": torch.get_num_threads(),  # another number adds in another order
        "seconds": {"prune": round(pruned_s, 1), "all": round(time.perf_counter() - started, 1)},
    }


def fingerprints_of(datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """Return the hash of each dataset's texts, by its spec."""
    return {spec: dataset.corpus.fingerprint for spec, dataset in datasets.items()}


def _gather(point: Point) -> tuple[dict[str, Dataset], LoadedBase]:
    """Return texts and base; raise Unprepared if they are not available here, or differ from where the sweep began."""
    try:
        datasets = {spec: open_dataset(spec) for spec in dict.fromkeys((*point.calibration, *point.measured_on))}
        base = load_base(point.base, dtype=choose_dtype(point.dtype))
    except SubmodelError as error:
        raise Unprepared(str(error)) from error
    for spec, found in fingerprints_of(datasets).items():
        if point.fingerprints[spec] != found:
            raise Unprepared(f"{spec} holds other texts here than where the sweep was begun; sweep again from there.")
    if base.provenance["sha256"] != point.base_sha256:
        raise Unprepared(f"The base {point.base} has other weights here than where the sweep was begun; fetch it anew.")
    return datasets, base


def _removed_share(point: Point, plan: Mapping[str, Any], parameters: int) -> float:
    """Return the share of the base's parameters that are removed or zero, a figure that both kinds of methods have."""
    if point.method is None:
        return 0.0
    if point.method.is_structured:
        return round(1.0 - float(plan["share_of_base"]), 4)
    return round(float(plan["achieved"]) * int(plan["pruned_parameters"]) / parameters, 4)


def main(arguments: Sequence[str]) -> None:
    """Run as a worker process; arguments: the document's path, the result's path, the number of threads."""
    from pathlib import Path

    from contract.files.whole_files import write_json

    source, target, threads = arguments
    write_json(Path(target), measure_point(json.loads(Path(source).read_text("utf-8")), int(threads)))
