"""`submodel-lab sweep`: quality over the pruning ratio, for methods, datasets and seeds. Each point is one file.

A stopped sweep resumes: points whose files are there are not measured again.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from builder.bases.resolve import AUTO, resolve_base
from builder.versions import installed_versions
from contract.errors import BuildError
from contract.files.whole_files import write_json, write_text
from laboratory.datasets import Dataset, open_dataset
from laboratory.experiments.calibration_texts import learned_bytes
from laboratory.experiments.method import STRUCTURED, MethodSettings
from laboratory.experiments.pictures import draw_sweep
from laboratory.experiments.point import Point, fingerprints_of
from laboratory.experiments.quality import QualitySettings
from laboratory.experiments.study_options import choose_dtype
from laboratory.experiments.sweep_document import make_curves, make_matrices, make_rankings, without_snippets
from laboratory.experiments.workers import Lost, run_in_processes
from submodel.build.paths import make_folder
from submodel.console import StageDisplay

TRIES: Final = 2  # of a point whose worker was lost
_MOST_KNOWN: Final = 0.01  # of a dataset's held-out bytes that another learns from; licences and empty modules recur


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """All points: every method × ratio × calibration × seed, and the dense base once."""

    output: Path
    methods: tuple[MethodSettings, ...]  # with ratio and seed
    calibrations: tuple[tuple[str, ...], ...]  # each a mixture of datasets
    measured_on: tuple[str, ...]
    base: str = "auto"
    quality: QualitySettings = field(default_factory=QualitySettings)
    dtype: str = "auto"  # the fastest when the sweep begins, and the same when it resumes
    jobs: int = 1
    threads: int | None = None  # of each point; None: this machine's cores over `jobs`

    def __post_init__(self) -> None:
        if not self.methods or not self.calibrations or not self.measured_on:
            raise BuildError("A sweep needs a method, a ratio and texts: name REPO, --language or --calibration.")
        if self.jobs < 1:
            raise BuildError("--jobs must be 1 at least.")

    @property
    def calibrated_on(self) -> tuple[str, ...]:
        """Each dataset that calibrates, once."""
        return tuple(dict.fromkeys(itertools.chain(*self.calibrations)))

    @property
    def threads_each(self) -> int:
        """Threads of one point."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.jobs)


def make_methods(
    names: Sequence[str], ratios: Sequence[float], seeds: Sequence[int], like: MethodSettings
) -> tuple[MethodSettings, ...]:
    """Return every combination, by method, ratio and seed; raise BuildError if one is not possible."""
    made = []
    for name, ratio, seed in itertools.product(names, ratios, seeds):
        is_sparse = name != STRUCTURED
        made.append(
            MethodSettings(
                method=name,
                sparsity=ratio,
                tokens=like.tokens,
                seed=seed,
                prompt_format=like.prompt_format if is_sparse else "prompt",
            )
        )
    return tuple(dict.fromkeys(made))


def run_sweep(settings: SweepSettings, display: StageDisplay) -> dict[str, Any]:
    """Measure the points that are missing; return the document that `--json` prints. Raises SubmodelError."""
    make_folder(settings.output)
    with display.stage("read the datasets"):
        specs = dict.fromkeys((*settings.calibrated_on, *settings.measured_on))
        datasets = {spec: open_dataset(spec, on_event=display.say) for spec in specs}
    _check_apart(datasets, settings)
    with display.stage("find the base") as advance:
        base = resolve_base(settings.base, on_event=display.say, on_progress=advance)
    spec = base.name if settings.base == AUTO else settings.base  # "auto" may mean another base elsewhere
    points = _points(settings, datasets, spec, base.sha256)
    folder = settings.output / "points"
    found = {point.key: _read(folder, point) for point in points}
    missing = {point.key: point for point in points if found[point.key] is None}
    display.say(f"{len(points)} points, {len(points) - len(missing)} of them measured before")
    lost: dict[str, Lost] = {}
    with display.stage("measure") as advance:
        for _ in range(TRIES):
            tasks = {key: point for key, point in missing.items() if key not in lost or not lost[key].is_final}
            if not tasks:
                break
            documents = {key: point.to_json() for key, point in tasks.items()}
            for outcome in run_in_processes(documents, jobs=settings.jobs, threads=settings.threads_each):
                point = missing[outcome.name]
                if isinstance(outcome, Lost):
                    lost[point.key] = outcome
                    display.say(f"{point.label}: {outcome.reason}")
                    continue
                _write(folder, point, outcome.result)
                found[point.key] = outcome.result
                del missing[point.key]
                lost.pop(point.key, None)
                advance(len(points) - len(missing), len(points))
    rows = [row for point in points if (row := _row(point, found[point.key], datasets)) is not None]
    document = {
        "base": base.to_json(),
        "dtype": points[0].dtype,
        "quality": asdict(settings.quality),
        "datasets": {
            dataset.name: {"fingerprint": dataset.corpus.fingerprint, "distributions": dataset.describe_distributions()}
            for dataset in datasets.values()
        },
        "points": without_snippets(rows),
        "curves": make_curves(rows),
        "rankings": make_rankings(rows),
        "matrices": make_matrices(rows),
        "failed": [
            {"point": missing[key].label, "reason": one.reason, "is_final": one.is_final} for key, one in lost.items()
        ],
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "versions": installed_versions(("submodel", "torch", "transformers", "tokenizers", "numpy")),
    }
    write_json(settings.output / "sweep.json", document)
    picture = settings.output / "sweep.svg"
    if document["curves"]:
        write_text(picture, draw_sweep(document))
    else:
        picture.unlink(missing_ok=True)  # an earlier sweep's
    return document


def _check_apart(datasets: Mapping[str, Dataset], settings: SweepSettings) -> None:
    """Raise BuildError if two datasets share a name, or if one learns from what is held out in another."""
    by_name: dict[str, str] = {}
    for spec, dataset in datasets.items():
        other = by_name.setdefault(dataset.name, spec)
        if other != spec:
            raise BuildError(
                f"{other} and {spec} are both called {dataset.name}; give each dataset once, or rename a folder."
            )
    learned = {spec: {file.sha256 for file in datasets[spec].corpus.learned} for spec in settings.calibrated_on}
    for spec, other in itertools.product(settings.measured_on, learned):
        held_out = datasets[spec].select("held-out")
        known = sum(file.size_bytes for file in held_out if file.sha256 in learned[other])
        if known > _MOST_KNOWN * sum(file.size_bytes for file in held_out):
            raise BuildError(
                f"A model would learn from files of {other} that are held out in {spec}, so that its figures would be "
                "too good; leave out one of the two datasets."
            )


def is_complete(document: Mapping[str, Any]) -> bool:
    """Return whether a sweep measured all that can be measured, and something besides the dense base."""
    return all(one["is_final"] for one in document["failed"]) and any(
        row["method"] != "dense" for row in document["points"]
    )


def _points(settings: SweepSettings, datasets: Mapping[str, Dataset], base: str, base_sha256: str) -> list[Point]:
    fingerprints = fingerprints_of(datasets)
    dtype = _dtype(settings)
    learned = [learned_bytes(datasets[spec]) for spec in settings.calibrated_on]
    # A calibration that is compared with no other learns from all that it has, as `submodel build` does.
    is_compared = len(settings.calibrations) > 1
    most_bytes = {split: min(one[split] for one in learned) for split in learned[0]} if is_compared else None

    def point(method: MethodSettings | None, calibration: tuple[str, ...]) -> Point:
        return Point(
            base=base,
            base_sha256=base_sha256,
            calibration=calibration,
            measured_on=settings.measured_on,
            fingerprints={spec: fingerprints[spec] for spec in (*calibration, *settings.measured_on)},
            method=method,
            quality=settings.quality,
            dtype=dtype,
            most_bytes=most_bytes if method is not None and method.is_structured else None,
        )

    pruned = [point(method, mixture) for method in settings.methods for mixture in settings.calibrations]
    return [point(None, ()), *pruned]


def _dtype(settings: SweepSettings) -> str:
    """Return the number format of all points; a sweep that resumes keeps the format that it had."""
    path = settings.output / "dtype.json"
    if settings.dtype == "auto" and path.is_file():
        return str(json.loads(path.read_text("utf-8")))
    dtype = str(choose_dtype(settings.dtype)).removeprefix("torch.")
    if settings.dtype == "auto":
        write_json(path, dtype)
    return dtype


def _path(folder: Path, point: Point) -> Path:
    return folder / f"{point.label}-{point.key[:12]}.json"


def _write(folder: Path, point: Point, result: Mapping[str, Any]) -> None:
    write_json(_path(folder, point), {"key": point.key, "point": point.to_json(), "result": result})


def _read(folder: Path, point: Point) -> dict[str, Any] | None:
    try:
        document = json.loads(_path(folder, point).read_text("utf-8"))
        found: dict[str, Any] | None = document["result"] if document["key"] == point.key else None
    except (OSError, ValueError, TypeError, LookupError):
        return None  # not measured yet, or no file of ours
    return found


def _row(point: Point, result: Mapping[str, Any] | None, datasets: Mapping[str, Dataset]) -> dict[str, Any] | None:
    """Return a point as `sweep_document` wants it: what it is, and its figures."""
    if result is None:
        return None
    method, errors = point.method, result["plan"].get("layer_output_error")
    names = [datasets[spec].name for spec in point.calibration]
    return {
        "method": "dense" if method is None else method.method,
        "sparsity": 0.0 if method is None else method.sparsity,
        "calibration": names,
        "seed": None if method is None else method.seed,
        **({} if method is None else {"prompt_format": method.prompt_format, "tokens": method.tokens}),
        **({} if point.most_bytes is None else {"most_bytes": dict(point.most_bytes)}),
        "removed_share": result["removed_share"],
        # How much of its output each layer has lost: one layer that all others need may decide the figures.
        **({} if errors is None else {"layer_output_error": errors}),
        "quality": result["quality"],
        "threads": result.get("threads"),
        "seconds": result["seconds"],
    }
