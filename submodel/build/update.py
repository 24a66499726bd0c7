"""An update: the sub-model that is there learns what changed since, and a bundle of it takes the old one's place.

It is a build with other first stages. Files follow their earlier splits (`builder.corpus.following`). Fine-tuning
starts from the model of the last build or update, with new factors and a new optimizer: nothing of the last run is
kept, since its factors are merged, and AdamW's averages over some twenty steps soon mean nothing. The weights are
quantized from the model in full precision each time, so that errors of quantization don't add up.

The order makes it safe to kill: the model is made in a folder of its own, its bundle takes the old one's place, then
the model does, and last the history says so. What is done is not repeated when the update is run again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from builder.artifact import read_artifact
from builder.corpus.changes import Changes, changes_since, head_commit
from builder.corpus.corpus import SourceFile, read_corpus
from builder.corpus.following import Followed, follow
from builder.evaluation.held_out import HeldOut, make_held_out
from builder.fim_examples import FimExample, cut_files
from builder.finetuning.finetune_settings import RecoverySettings
from contract.bundle.bundle import build_of, read_bundle
from contract.bundle.trust import check_trusted
from contract.console import Advance, StageDisplay
from contract.errors import BuildError
from contract.files.folders import PRIVATE, write_json, write_text
from exporters.export import renew_drafts
from exporters.export_settings import SHORT_PARITY, ExportSettings
from exporters.precision import Precision
from submodel.build.build_settings import BuildSettings
from submodel.build.document import bundle_row, scores_of, stage_rows
from submodel.build.history import History, describe_version, figures_of, read_history, write_history
from submodel.build.lock import build_lock
from submodel.build.paths import BuildPaths, UpdatePaths, prepare_output
from submodel.build.pipeline import PROGRAM, Build
from submodel.build.stages import StageRecord, is_output_of, key_of, key_of_output
from submodel.evaluation.bundle_predictor import BundlePredictor
from submodel.report.saved import read_saved, render_saved

UPDATE_VERSION = 1  # raised when the same inputs give another model
# The threshold moves little between two versions; a build asks for twice as many.
THRESHOLD_POSITIONS = 50


@dataclass(frozen=True, kw_only=True)
class UpdateSettings(BuildSettings):
    """One update, as the command line states it; `quantize` is that of the bundle that is there."""

    minutes: float = 2.0  # of fine-tuning; 0 renews the drafts alone
    positions: int = 30  # held-out lines, and as many new ones, to complete; 0 leaves the evaluation out
    number: int = 0  # of updates before this one: each draws other lines of the old files

    def __post_init__(self) -> None:
        super().__post_init__()
        # A validation costs as much as two steps, and there are few steps.
        tuning = RecoverySettings(minutes=self.minutes, seed=self.seed + self.number, least_validations=2)
        object.__setattr__(self, "recovery", tuning)


def run_update(settings: UpdateSettings, display: StageDisplay) -> dict[str, Any]:
    """Bring the model and the bundle of `settings.output` up to date; returns the document that `--json` prints.

    Raises SubmodelError, and BuildError if the output holds nothing that this account and this version have built. The
    bundle and the model that are there stay until a better one is whole.
    """
    if not settings.output.is_dir():
        raise BuildError(f"{settings.output} holds no build to go on from; run `submodel build` first.")
    prepare_output(settings.output)
    with build_lock(settings.output):
        history = _read_history(BuildPaths(root=settings.output))
        precision = read_bundle(settings.output / "bundle", verify=False).manifest["quantization"]
        settings = replace(settings, quantize=precision, number=history.updates)
        return _Update(settings, display, history).run()


def _read_history(paths: BuildPaths) -> History:
    again = "run `submodel build`, which makes a model anew"
    history = read_history(paths.stages)
    if history is None or not paths.bundle.is_dir():
        raise BuildError(f"{paths.root} has no record of what its model has learned from; {again}.")
    if history.program != PROGRAM:
        raise BuildError(f"The model of {paths.root} was built by another version of submodel; {again}.")
    # The second holds where an update was killed while its model took the old one's place.
    if key_of_output("recover", paths.model, paths.stages) != history.model_key and not is_output_of(
        "update", paths.model, paths.stages
    ):
        raise BuildError(
            f"The model {paths.model} is not what the last build or update made: another base or size was begun, or it "
            f"was changed; {again}."
        )
    check_trusted(paths.bundle, build_of(paths.bundle))
    return history


class _Update(Build):
    _gate_positions = THRESHOLD_POSITIONS

    def __init__(self, settings: UpdateSettings, display: StageDisplay, history: History) -> None:
        super().__init__(settings, display)
        self._paths = UpdatePaths(root=settings.output)
        self._history = history

    def run(self) -> dict[str, Any]:
        """Learn, and export if that made the model better; else renew the drafts alone."""
        started = time.perf_counter()
        history, settings, stages = self._history, self._settings, self._stages
        with self._display.stage("read the repository") as advance:
            found = read_corpus(settings.repository, on_progress=advance)
            changes = changes_since(found.root, history.commit)
            followed = follow(found, history.known, changes.renames if changes else {})
            self._corpus, self._fresh = followed.corpus, followed.fresh
        commit = head_commit(found.root)
        document: dict[str, Any] = {
            "kept": "old",
            **({} if history.commit is None else {"from_commit": history.commit}),
            **({} if commit is None else {"to_commit": commit}),
            "files": self._count(followed),
        }
        tuning = settings.recovery.to_json()
        inputs = {"version": UPDATE_VERSION, "model": history.model_key, "corpus": self._corpus.fingerprint}
        key = key_of(**inputs, recovery=tuning)
        if not followed.fresh_to_learn or history.versions[-1].get("key") == key:
            self._display.say("Nothing has changed since that the model has not learned or tried; all stays as it is")
            return self._finish(document, history, started)
        self._display.say(_describe(document["files"]))
        held_out = make_held_out(self._corpus.files, settings.scoring) if settings.positions else None
        scores: dict[str, StageRecord] = {}
        # Once the new bundle is there it can't be asked in the old one's place.
        if held_out and key_of_output("export", self._paths.bundle, self._paths.stages) != self._bundle_key(key):
            scores = self._score_old(held_out, followed, changes)
        tuned: dict[str, Any] = {"minutes": 0.0}
        if settings.minutes > 0:
            is_suffix_first = read_artifact(self._paths.pruned).prompt.suffix_first
            make = partial(self._recover, key, self._paths, is_suffix_first)
            tuned = document["recovery"] = stages.run("update", key, make, [self._paths.model]).result
        if tuned.get("kept_step", 0) > 0:
            exported = stages.run(
                "export", self._bundle_key(key), partial(self._export_served, self._paths), [self._paths.bundle]
            )
            document |= {"kept": "new", **exported.result}
            self._adopt(self._paths.model, self._paths.pruned, "recover", "update")
            history = replace(history, model_key=key, commit=commit, known=followed.known)
        else:
            if settings.minutes > 0:
                self._display.say("The old model stays: the new one is not better on the validation files")
            stages.run("renew the drafts", key, self._renew_drafts, [self._paths.bundle])
        version = {**describe_version("update", commit, tuned, 0.0), "kept": document["kept"], "key": key}
        history = self._remember(history, version)
        if held_out and document["kept"] == "new":
            scores["held_out"] = self._score_bundle("score the bundle", key, held_out)
        elif "held_out_before" in scores:
            scores["held_out"] = scores["held_out_before"]
        figures = {name: scores_of(record).to_json() for name, record in scores.items()}
        version |= {name: figures_of(row) for name, row in figures.items()}
        version["seconds"] = round(time.perf_counter() - started, 1)
        document["scores"] = figures
        return self._finish(document, self._remember(history, version), started)

    @property
    def _export_settings(self) -> ExportSettings:
        """The graph, the tokenizer and the precision are those of a bundle that passed the whole check."""
        settings = super()._export_settings
        if settings.precision is Precision.FP32:  # which has no other check than that of logits
            return replace(settings, parity=replace(SHORT_PARITY, prompts=2, logit_prompts=2))
        return replace(settings, parity=SHORT_PARITY)

    def _renew_drafts(self, advance: Advance) -> dict[str, Any]:
        bundle = renew_drafts(self._paths.bundle, self._drafts(BuildPaths(root=self._paths.root)))
        return dict(bundle.manifest["drafts"])

    def _remember(self, history: History, version: Mapping[str, Any]) -> History:
        """Put the version last, in the place of an earlier record of it, and write the history."""
        others = history.versions
        if others and others[-1].get("key") == version["key"]:
            others = others[:-1]
        history = replace(history, versions=(*others, version))
        write_history(self._paths.stages, history)
        return history

    def _finish(self, document: dict[str, Any], history: History, started: float) -> dict[str, Any]:
        """The whole document; the build's report gets the versions."""
        paths = self._paths
        shutil.rmtree(paths.model, ignore_errors=True)  # it has taken its place, or was not better
        rows = document.pop("scores", {})
        document |= {
            "models": [{**rows.get("held_out", {}), **bundle_row(paths.bundle)}],
            **({"held_out_before": rows["held_out_before"]} if "held_out_before" in rows else {}),
            **({"since": rows["since"]} if "since" in rows else {}),
            "history": [{name: one[name] for name in one if name != "key"} for one in history.versions],
            "stages": stage_rows(self._stages.records),
            "seconds": round(time.perf_counter() - started, 1),
            "paths": {"model": str(paths.pruned), "bundle": str(paths.bundle), "report": str(paths.report)},
        }
        try:
            report = read_saved(paths.figures)
            report |= {name: document[name] for name in ("history", "parity", "gate") if name in document}
            page = render_saved(report, paths.figures, title=self._settings.title)
        except BuildError as error:  # the report alone: the model and its bundle are in place
            self._display.say(f"The report stays as it is: {error}")
        else:
            write_json(paths.figures, report, mode=PRIVATE)
            write_text(paths.report, page, mode=PRIVATE)
        return document

    @staticmethod
    def _count(followed: Followed) -> dict[str, int]:
        """Files of code that no version has seen as they are, by what becomes of them."""
        fresh = [file for file in followed.corpus.files if file.path in followed.fresh and file.is_code]
        return {
            "to_learn": sum(file.split == "calibration" for file in fresh),
            "to_validate": sum(file.split == "validation" for file in fresh),
            "held_out": sum(file.split == "held-out" for file in fresh),
            "set_aside": followed.set_aside,
        }

    def _score_old(self, held_out: HeldOut, followed: Followed, changes: Changes | None) -> dict[str, StageRecord]:
        """The bundle that is there: on held-out lines, and on lines written since, none of which it knows."""
        key = self._history.model_key
        scores = {"held_out_before": self._score_bundle("score the old bundle", key, held_out)}
        fresh = [file for file in followed.corpus.files if file.path in followed.fresh and file.is_code]
        drawn = cut_files(fresh, sum(file.text.count("\n") + 1 for file in fresh), self._settings.scoring.seed)
        is_new = self._new_lines(changes)
        cuts = tuple(cut for cut in drawn if is_new(cut))[: self._settings.positions]
        if cuts:
            since = HeldOut(cuts=cuts, blocks=(), excerpts=())
            scores["since"] = self._score_bundle("score new lines", key, since)
        return scores

    def _new_lines(self, changes: Changes | None) -> Callable[[FimExample], bool]:
        """Whether a cut stands in a line that was written since; of a file without its commits any line may be."""

        def is_new(cut: FimExample) -> bool:
            path = cut.file.path
            is_known = path in self._history.known.paths or (changes is not None and path in changes.renames)
            if changes is None or not is_known:
                return True
            return _line_of(cut.file, cut.offset) in changes.added_lines.get(path, ())

        return is_new

    def _score_bundle(self, name: str, model_key: str, held_out: HeldOut) -> StageRecord:
        key = key_of(bundle=model_key)
        return self._score(name, key, lambda: BundlePredictor(read_bundle(self._paths.bundle)), held_out)


def _line_of(file: SourceFile, offset: int) -> str:
    start, end = file.text.rfind("\n", 0, offset) + 1, file.text.find("\n", offset)
    return file.text[start : end if end >= 0 else None].strip()


def _describe(files: Mapping[str, int]) -> str:
    return (
        f"New or changed since: {files['to_learn']} files to learn from, {files['to_validate']} to validate on, "
        f"{files['held_out']} held out" + (f"; {files['set_aside']} set aside" if files["set_aside"] else "")
    )
