"""`submodel eval`: base, sub-model and other models on held-out files of a repository, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from builder.corpus.corpus import Corpus, SourceFile
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import HeldOut, ScoringSettings, make_held_out
from builder.evaluation.scores import Scores, compare
from builder.evaluation.scoring import Scorable, score
from builder.memory import keep_to_machine
from builder.number_format import fastest_dtype
from contract.bundle.bundle import graph_of
from contract.errors import BuildError, SubmodelError
from contract.files.seals import seal_key, sealed_json
from contract.files.whole_files import PRIVATE, write_text
from contract.plain_text import plain
from contract.progress import OnProgress
from submodel.build.checkout import read_checkout
from submodel.build.lock import build_lock, when_free
from submodel.build.paths import WORKSPACE, BuildPaths, check_own
from submodel.console import StageDisplay
from submodel.evaluation.predictors import (
    ScoredModel,
    base_of,
    files_held_out_from,
    find_candidates,
    open_predictor,
)
from submodel.report.render import EVALUATION, REPORT_SCHEMA, read_saved, render_beside_evaluation

KEEP_WAIT_S = 3600.0  # for a build that holds the folder; the scoring may have taken hours


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """What is compared, and on how much."""

    repository: Path
    models: tuple[str, ...] = ()  # "base", "sub-model" or folders; none: the first two
    base: str | None = None  # None: the one that the sub-model was made from
    positions: int = 200  # a 95 % interval of about ± 7 points
    blocks: int = 100  # positions of several lines
    seed: int = 0  # the same as a build's gives the same positions, for as many of them


def run_evaluation(settings: EvalSettings, display: StageDisplay) -> dict[str, Any]:
    """Score the models one after the other; returns the document that `--json` prints. Raises SubmodelError.

    It is kept in .submodel, and the build's report is written anew with it.
    """
    return _Evaluation(settings, display).run()


class _Evaluation:
    def __init__(self, settings: EvalSettings, display: StageDisplay) -> None:
        keep_to_machine()
        self._settings = settings
        self._display = display
        self._paths = BuildPaths(root=settings.repository / WORKSPACE)
        self._candidates = find_candidates(list(settings.models), self._paths.root)
        if not settings.models and len(self._candidates) == 1:
            display.say(
                f"{self._paths.root} holds no bundle, so the base is scored alone; name the repository's folder, or a "
                "bundle with --model"
            )
        self._base = base_of(self._candidates, settings.base)
        self._dtype: torch.dtype = fastest_dtype()
        self._stages: list[dict[str, Any]] = []
        self._graph = graph_of(self._paths.bundle)  # a build may replace it meanwhile

    def run(self) -> dict[str, Any]:
        started = time.perf_counter()
        if self._keeps_figures():
            check_own(self._paths.root)  # before hours of scoring, and again before it is written to
        with self._display.stage("read the repository") as advance:
            corpus = self._read_corpus(advance)
            files, changed = still_held_out(corpus.files, files_held_out_from(self._candidates, corpus.files))
            corpus = replace(corpus, files=files)
            held_out = make_held_out(files, self._scoring())
        if changed:
            self._display.say(f"{changed} held-out files are new or changed since the build, which may have read them")
        scores: list[Scores] = []
        for candidate in self._candidates:
            predictor = self._open(candidate)
            scores.append(self._score(predictor, held_out))
            del predictor  # makes room for the next one
        with self._display.stage("score the baselines"):
            baselines = score_baselines(corpus, held_out.fim_examples)
        first, *others = scores
        document: dict[str, Any] = {
            "models": [one.to_json() for one in scores],
            "baselines": [one.to_json() for one in baselines],
            "against": first.name,
            "against_base": {one.name: compare(one, first) for one in others},
            "stages": self._stages,
            "seconds": round(time.perf_counter() - started, 1),
        }
        self._keep(document)
        return document

    def _read_corpus(self, advance: OnProgress) -> Corpus:
        return read_checkout(self._settings.repository, self._display, advance)

    def _scoring(self) -> ScoringSettings:
        settings = self._settings
        return ScoringSettings(positions=settings.positions, blocks=settings.blocks, seed=settings.seed + 1)

    def _score(self, predictor: Scorable, held_out: HeldOut) -> Scores:
        began = time.perf_counter()
        with self._display.stage(f"score {predictor.name}") as advance:
            scores = score(predictor, held_out, on_progress=advance)
        self._note(f"score {predictor.name}", began)
        return scores

    def _open(self, candidate: ScoredModel) -> Scorable:
        return open_predictor(candidate, self._base, self._dtype, self._display.say, self._candidates)

    def _note(self, name: str, began: float) -> None:
        self._stages.append({"name": name, "seconds": round(time.perf_counter() - began, 2)})

    def _keeps_figures(self) -> bool:
        return self._paths.figures.is_file()

    def _keep(self, document: dict[str, Any]) -> None:
        """Beside the build's report, where there is one, which then shows both. Says why if that can't be."""
        if not self._keeps_figures():
            return

        def write() -> None:
            with build_lock(self._paths.root):
                self._write(document)

        try:
            check_own(self._paths.root)
            when_free(write, self._display.say, KEEP_WAIT_S)
        except SubmodelError as error:  # hours of scoring are printed all the same
            self._display.say(f"The figures were not kept: {error}")
        except OSError as error:
            why = f"{error.filename or self._paths.root}: {error.strerror or error}"
            self._display.say(f"The figures were not kept ({why}).")

    def _write(self, document: dict[str, Any]) -> None:
        paths = self._paths
        build = read_saved(paths.figures)
        document["graph"] = self._graph
        sealed = sealed_json(seal_key(), EVALUATION, paths.evaluation.name, document)
        write_text(paths.evaluation, sealed, mode=PRIVATE)
        if build.get("schema") != REPORT_SCHEMA:
            self._display.say(
                f"{paths.figures} is of another version, so the report stays as it is; build again to renew it"
            )
            return
        title = plain(self._settings.repository.resolve().name)
        page = render_beside_evaluation(build, paths, graph_of(paths.bundle), title=title)
        write_text(paths.report, page, mode=PRIVATE)


def still_held_out(files: Sequence[SourceFile], recorded: frozenset[str] | None) -> tuple[tuple[SourceFile, ...], int]:
    """The files, held out where the build did so, without others that may be read so; and how many these are.

    A file may have changed since the build: as read its hash then says something else. recorded: SHA-256 of the texts
    that were held out; None where nothing was built. Raises BuildError where no held-out file is left.
    """
    if recorded is None:
        return tuple(files), 0
    placed = (replace(file, split="held-out") if file.sha256 in recorded else file for file in files)
    kept = tuple(file for file in placed if file.split != "held-out" or file.sha256 in recorded)
    if not any(file.split == "held-out" for file in kept):
        raise BuildError("No file that the build held out is still as it was; run `submodel build` again, then eval.")
    return kept, len(files) - len(kept)
