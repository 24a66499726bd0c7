"""`submodel-lab prune`: prunes a base by one method; writes a folder that transformers loads and `compare` reads."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.artifact import MANIFEST
from builder.bases.load import load_resolved, resolve_base
from builder.checkpoint_writer import parity_examples
from builder.memory import keep_to_machine, peak_rss_bytes
from contract.errors import BuildError
from contract.files.folders import check_replaceable
from laboratory.datasets import open_dataset
from laboratory.experiments.method import MethodSettings, apply_method
from laboratory.experiments.study_options import choose_dtype
from laboratory.sparsity.sparse_checkpoint import NOTE, save_sparse
from submodel.build.paths import make_folder
from submodel.console import StageDisplay


@dataclass(frozen=True, kw_only=True)
class PruneRunSettings:
    """One run of `submodel-lab prune`."""

    output: Path
    calibration: tuple[str, ...]  # datasets, equal shares of each
    base: str = "auto"
    method: MethodSettings = field(default_factory=MethodSettings)
    masks_only: bool = False
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.method.is_structured:
            raise BuildError("`submodel build` prunes by the structured method; name another --method.")


def run_prune(settings: PruneRunSettings, display: StageDisplay) -> dict[str, Any]:
    """Prune and write; return the document that `--json` prints. Raises SubmodelError."""
    started = time.perf_counter()
    method = settings.method
    check_replaceable(settings.output, marker=MANIFEST)
    make_folder(settings.output.absolute().parent)  # the new folder is made beside the old one
    keep_to_machine()
    with display.stage("read the datasets"):
        datasets = [open_dataset(spec, on_event=display.say) for spec in settings.calibration]
    with display.stage("load the base") as advance:
        resolved = resolve_base(settings.base, on_event=display.say, on_progress=advance)
        dtype = choose_dtype(settings.dtype)
        base = load_resolved(resolved, on_event=display.say, dtype=dtype)
    with display.stage(f"prune ({method.method})") as advance:
        outcome = apply_method(base, datasets, method, on_layer=advance)
    files = [file for dataset in datasets for file in dataset.corpus.files]
    manifest = {
        "base": base.provenance,
        "licence": base.provenance["licence"],
        "held_out_sha256": [file.sha256 for file in files if file.split == "held-out"],
        "learned_sha256": [file.sha256 for dataset in datasets for file in dataset.corpus.learned],
        "dtype": str(dtype).removeprefix("torch."),
        "seeds": {"calibration": method.seed},
        "stages": [{"name": "prune", "seconds": round(time.perf_counter() - started, 2)}],
        "peak_rss_bytes": peak_rss_bytes(),
    }
    with display.stage("write the folder"):
        parity = parity_examples(files, method.seed)
        save_sparse(
            settings.output,
            base,
            outcome.layers,
            method.sparse_settings(),
            parity,
            {**manifest, "calibration": outcome.calibration},
            with_weights=not settings.masks_only,
        )
    return {
        "method": method.method,
        "plan": outcome.plan,
        "calibration": outcome.calibration,
        "note": NOTE,
        "base": resolved.to_json(),
        "seconds": round(time.perf_counter() - started, 1),
        "paths": {"model": str(settings.output)},
    }
