"""The graphs of one checkpoint: each is written, then compared with the checkpoint's own answers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from contract.bundle.manifest import MODEL_FILE
from contract.errors import ExportError, ParityError
from contract.progress import OnEvent, OnProgress, counted, part_of
from exporters.checkpoint_reader import Checkpoint
from exporters.graph import build_graph, save_graph
from exporters.parity import DecodeSession, ExportSettings, ParityReport, check_logits, check_quantized
from exporters.precision import CANDIDATES, Precision, can_hold
from exporters.reference import Reference
from exporters.rotation import RotatedCheckpoint

WRITING = 0.6  # of the time of a graph, roughly; the rest is its comparison


@dataclass(frozen=True, kw_only=True)
class GraphWriter:
    """Writes graphs of `checkpoint`; `references` are its own answers.

    Where a method takes `report`, it is that of the float32 graph, to which the quantized graph's figures are added.
    """

    checkpoint: Checkpoint
    references: list[Reference]
    settings: ExportSettings
    on_event: OnEvent  # gets a sentence at the beginning of each step

    def write_float32(self, bundle: Path, on_progress: OnProgress) -> ParityReport:
        """Write the float32 graph and check its logits; if another precision is wanted, delete it afterwards.

        Raises ExportError if the check fails.
        """
        is_wanted = self.settings.precision is Precision.FP32
        path = bundle / MODEL_FILE if is_wanted else bundle / "float32" / "model.onnx"
        self.on_event("Checking the graph in fp32")
        graph = build_graph(self._reread(Checkpoint, on_progress), Precision.FP32)
        save_graph(graph, path, inline_limit=None if is_wanted else 0)
        report = check_logits(self._open(path), self.references, self.settings.parity)
        if not is_wanted:
            shutil.rmtree(path.parent)
        return report

    def write_quantized(
        self, path: Path, report: ParityReport, on_progress: OnProgress
    ) -> tuple[Precision, ParityReport]:
        """Write the first candidate of the wanted precision that passes the check.

        Raises ParityError if none passes, ExportError if not every matrix divides into the precision's blocks.
        """
        wanted = self.settings.precision
        candidates = [one for one in CANDIDATES[wanted] if can_hold(one, self.checkpoint.shape)]
        if not candidates:
            raise ExportError(f"Not every matrix of this model divides into blocks for {wanted}; export it as int8.")
        for candidate in candidates:
            self._write(path, candidate, part_of(on_progress, 0, WRITING))
            try:
                return candidate, self._check(self._open(path), report, part_of(on_progress, WRITING, 1))
            except ParityError as error:
                if candidate is candidates[-1]:
                    raise
                self.on_event(f"{error.finding}; trying a finer one")
        raise AssertionError("the last candidate returns or raises")

    def _write(self, path: Path, precision: Precision, on_progress: OnProgress) -> None:
        self.on_event(f"Writing the {precision} graph")
        # Outliers hurt quantized activations: the rotation halves int8's loss, and rows behind a norm need no scale.
        basis = RotatedCheckpoint if precision is Precision.INT8 else Checkpoint
        save_graph(build_graph(self._reread(basis, on_progress), precision), path)
        self.on_event(f"Comparing the {precision} graph with the checkpoint on {len(self.references)} prompts")

    def _reread(self, basis: type[Checkpoint], on_progress: OnProgress) -> Checkpoint:
        """The checkpoint, in a basis, whose readings are the progress of writing a graph."""
        return basis(self.checkpoint.folder, counted(on_progress, len(self.checkpoint.names)))

    def _open(self, path: Path) -> DecodeSession:
        return DecodeSession(path, self.checkpoint.shape)

    def _check(self, session: DecodeSession, report: ParityReport, on_progress: OnProgress) -> ParityReport:
        return check_quantized(session, self.references, self.settings.parity, report, on_progress)
