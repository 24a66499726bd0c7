"""An update: the sub-model that is there learns what changed since, and a bundle of it takes the old one's place.

It is a build with other first stages. Files follow their earlier splits (`builder.corpus.following`). Fine-tuning
starts from the model of the last build or update, with new factors and a new optimizer: nothing of the last run is
kept, since its factors are merged, and AdamW's averages over some twenty steps soon mean nothing. The weights are
quantized from the model in full precision each time, so that errors of quantization don't add up.

The order makes it safe to kill: the model is made in a folder of its own, and the history that it will have is written.
Then its bundle takes the old one's place, then the model does, and last that history. What is done is not repeated when
the update is run again, and the swap that a kill has left half done is finished first: files may have changed since.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from builder.artifact import read_artifact
from builder.corpus.changes import head_commit
from builder.evaluation.scores import compare
from builder.finetuning.finetune_settings import FinetuneSettings
from contract.bundle.bundle import find_bundle, graph_of, read_bundle
from contract.bundle.trusted_builds import check_can_trust
from contract.children import shell_line
from contract.console import StageDisplay
from contract.errors import BuildError, BundleError, NotNowError, ParityError
from contract.files.folders import restore_folder
from contract.files.whole_files import PRIVATE, write_json, write_text
from contract.progress import OnProgress
from exporters.bundle_export import renew_drafts
from exporters.export_settings import SHORT_PARITY, ExportSettings
from exporters.precision import Precision
from submodel.build.build_settings import BuildSettings
from submodel.build.checkout import check_listed_as_before, check_settled, read_checkout
from submodel.build.document import scores_of, stage_rows, unscored
from submodel.build.history import NEXT, History, describe_version, drop_next_history, figures_of, write_history
from submodel.build.lock import build_lock
from submodel.build.model_stages import Learned, ModelStages, variants_of
from submodel.build.paths import BuildPaths, UpdatePaths, prepare_output
from submodel.build.stages import hash_of
from submodel.build.update_plan import UpdatePlan, plan_update
from submodel.build.update_scores import UpdateScorer
from submodel.build.update_start import finish_swap, history_to_update, precision_of_update, take_place
from submodel.memory_and_disk import has_free_memory
from submodel.report.render import REPORT_SCHEMA, read_saved, render_beside_evaluation

UPDATE_VERSION = 12  # raised when the same inputs give another model
LEARNING_RATE = 2.5e-4  # half of a build's: the model is tuned already (dev/LOG.md)
# What an update of a model of so many parameters takes at most: 4.9 GB were measured with 296 million (dev/LOG.md).
LARGE_PARAMETERS, BYTES_A_PARAMETER = 200_000_000, 17
UNREAD = "unread"  # in the record of an update's fine-tuning: the paths that its kept steps did not reach
UNTRIED = "untried"  # the same of all its steps, and of the updates before that were refused


@dataclass(frozen=True, kw_only=True)
class UpdateSettings(BuildSettings):
    """One update, as the command line states it; `quantize` and `seed` are what the build asked for."""

    minutes: float = 2.0  # of fine-tuning; 0 renews the drafts alone
    positions: int = 30  # held-out lines, and as many new ones, to complete; 0 leaves the evaluation out
    served: Precision | None = None  # that of the bundle that is there
    number: int = 0  # of updates before this one, refused ones too: each draws other lines to learn and to validate on
    is_paced: bool = False  # an editor began it, and nobody may be looking

    @property
    def finetuning(self) -> FinetuneSettings:
        """How the model of the last version is fine-tuned."""
        return FinetuneSettings(
            minutes=self.minutes,
            seed=self.seed + self.number,
            learning_rate=LEARNING_RATE,
            warmup_steps=6,  # a small change is six to eight steps
            max_passes=1,  # each new line is shown once
        )


def run_update(settings: UpdateSettings, display: StageDisplay) -> dict[str, Any]:
    """Bring the model and the bundle of `settings.output` up to date; returns the document that `--json` prints.

    Raises SubmodelError, BuildError if the output holds nothing that this account and this version have built, and
    NotNowError if a paced update has to wait. The bundle and the model that are there stay until a better one is whole.
    """
    if not settings.output.is_dir():
        raise _no_build(settings)
    check_can_trust()
    prepare_output(settings.output)
    with build_lock(settings.output):
        paths = UpdatePaths(root=settings.output)
        if not paths.stages.is_dir():  # a build that was refused has left its lock
            raise _no_build(settings)
        for folder in (paths.bundle, paths.model):
            restore_folder(folder)
        has_swapped = finish_swap(paths, display)
        history = history_to_update(paths)
        manifest = read_bundle(paths.bundle, verify=False).manifest
        served = Precision(manifest["quantization"])
        quantize = str(precision_of_update(history.quantize, served))
        settings = replace(settings, quantize=quantize, seed=history.seed, served=served, number=history.updates)
        started = time.perf_counter()
        commit = head_commit(settings.repository)  # before its files are read
        with display.stage("read the repository") as advance:
            found = read_checkout(settings.repository, display, advance)
        made = read_artifact(paths.start).manifest or {}
        check_listed_as_before(found, made)
        if found.listed_by != "git":
            commit = None  # of a repository that has nothing to do with these files, as around an ignored folder
        elif settings.is_paced:
            check_settled(settings.repository)  # now that it is read: the reading may have waited for its user
        with display.stage("compare with the last version") as advance:
            plan = plan_update(made, display, found, history, manifest, advance)
        return _Update(settings, display, history, plan).update(commit, started, has_swapped=has_swapped)


def _no_build(settings: UpdateSettings) -> BuildError:
    """Return the error that says which build an update can go on from."""
    with suppress(BundleError):
        above = find_bundle(settings.repository).parents[1]
        if BuildPaths(root=above / ".submodel").stages.is_dir():  # a bundle that was pulled has none
            command = shell_line(["submodel", "update", str(above)])
            return BuildError(f"{settings.output} holds no build; that of these files is in {above}: run `{command}`.")
    return BuildError(f"{settings.output} holds no build to go on from; run `submodel build` first.")


class _Update(ModelStages):
    _settings: UpdateSettings
    _paths: UpdatePaths

    def __init__(self, settings: UpdateSettings, display: StageDisplay, history: History, plan: UpdatePlan) -> None:
        super().__init__(settings, display, plan.corpus, None)
        self._paths = UpdatePaths(root=settings.output)
        self._history = history
        self._plan = plan
        self._scorer = UpdateScorer(settings, display, self._scores, plan, self._paths.bundle)
        self._unread: frozenset[str] = frozenset()
        self._untried: frozenset[str] = frozenset()

    def update(self, commit: str | None, started: float, *, has_swapped: bool) -> dict[str, Any]:
        """Learn, and export if that made the model better; else renew the drafts alone.

        commit: what was checked out before the files were read. started: by time.perf_counter(). has_swapped: an
        interrupted update was finished before.
        """
        plan = self._plan
        document: dict[str, Any] = {
            "kept": "new" if has_swapped else "old",
            **_commits(*((None, self._history.commit) if has_swapped else (self._history.commit, commit))),
            "files": plan.count(),
        }
        whole_hash = hash_of(
            version=UPDATE_VERSION,
            model=self._history.model_hash,
            corpus=replace(self._corpus, files=tuple(file for file in self._corpus.files if file.is_code)).fingerprint,
            finetuning=replace(self._settings.finetuning, seed=self._settings.seed).to_json(),
        )
        if has_swapped:  # what its export has measured is not in the report yet
            document |= self._export_model(self._history.model_hash)
        if not plan.to_read or self._history.versions[-1].get("stage_hash") == whole_hash:
            return self._finish(document, self._go_without_learning(has_swapped), started)
        self._display.say(_describe(document["files"]))
        if self._settings.minutes > 0 and not plan.has_lines("validation"):
            raise BuildError(
                "The files that the model was validated on are gone or have no line of code; run `submodel build`, "
                "which picks others."
            )
        stage_hash = hash_of(whole=whole_hash, number=self._settings.number, waiting=sorted(plan.waiting))
        scores, before = self._scorer.score_old(self._history.model_hash), self._history.commit
        tuned = self._learn(stage_hash)
        is_better = tuned.get("kept_step", 0) > 0
        version = {**describe_version("update", commit, tuned, 0.0), "kept": "old", "stage_hash": whole_hash}
        # The history is written before the scores: what is left to do then is of no importance to the model.
        version |= {name: figures_of(scores_of(record).to_json()) for name, record in scores.items()}
        exported = self._swap(stage_hash, commit, version) if is_better else None
        if self._untried:
            document["files"]["untried"] = len(self._untried)
        if exported is not None:
            version["kept"] = document["kept"] = "new"
            document |= exported | _commits(before, commit)
            scores |= self._scorer.score_new(stage_hash)
        else:
            # Better, but its graph failed, or there are files that no step has read: another update may go on.
            if is_better or self._untried:
                version["stage_hash"] = hash_of(failed=stage_hash)
            self._keep_old(commit, version, was_refused=tuned.get("kept_step") == 0)
            if "held_out_before" in scores:
                scores["held_out"] = scores["held_out_before"]
        scored = {name: scores_of(record) for name, record in scores.items()}
        if exported is not None and {"held_out", "held_out_before"} <= scored.keys():
            document["against_before"] = compare(scored["held_out"], scored["held_out_before"])
        figures = {name: one.to_json() for name, one in scored.items()}
        version |= {name: figures_of(row) for name, row in figures.items()}
        self._remember(version | {"seconds": round(time.perf_counter() - started, 1)})
        if "steps" in tuned:
            document["finetuning"] = tuned
        return self._finish(document, figures, started)

    def _go_without_learning(self, has_swapped: bool) -> Mapping[str, Mapping[str, Any]]:
        """Score the model whose swap was finished, else renew the drafts where files differ; returns the scores."""
        last = self._history.versions[-1]
        # An update that was killed while it scored has left no seconds.
        is_unscored = last["kept"] == "new" and not last["seconds"] and "held_out" not in last
        scored = self._scorer.score_new(self._history.model_hash) if has_swapped or is_unscored else {}
        rows = {name: scores_of(record).to_json() for name, record in scored.items()}
        if rows:
            self._remember({**self._history.versions[-1], **{name: figures_of(row) for name, row in rows.items()}})
        if self._plan.is_drifted and not has_swapped:  # documentation, say, or another branch that was learned before
            self._run_drafts()
        return rows

    def _keep_old(self, commit: str | None, version: Mapping[str, Any], *, was_refused: bool) -> None:
        """Renew the drafts of the model that stays, and write down what was looked at.

        was_refused: it was fine-tuned, and the result was no better.
        """
        self._run_drafts()
        # What was scored is never learned from, also under another name.
        known = self._history.known.with_held_out(self._plan.followed.known)
        self._history = replace(self._history, known=known, looked_at=commit)
        if was_refused:
            to_learn = self._plan.to_learn
            read = [to_learn[path] for path in sorted(to_learn.keys() - self._untried)]
            self._history = replace(self._history, tried=tuple(read) if self._untried else ())
        self._remember(version)

    def _learn(self, stage_hash: str) -> dict[str, Any]:
        """The summary of the fine-tuning."""
        if self._settings.minutes == 0 or not self._plan.to_learn:
            return {"minutes": 0.0}
        source = read_artifact(self._paths.start)
        parameters = (source.manifest or {}).get("parameters", 0)
        needed = BYTES_A_PARAMETER * parameters
        if parameters >= LARGE_PARAMETERS and not has_free_memory(needed):
            sentence = f"An update of this model takes up to {needed / 1e9:.1f} GB of memory, and less is free"
            if self._settings.is_paced:
                raise NotNowError(f"{sentence}; close other programs, then run `submodel update`.")
            self._display.say(f"{sentence}; close other programs.")

        plan = self._plan

        def make(advance: OnProgress) -> dict[str, Any]:
            learned = self._finetune(
                stage_hash,
                lambda known: known,
                advance,
                fresh=plan.fresh,
                waiting=plan.waiting,
                is_new=plan.is_new,
            )
            untried = plan.to_learn.keys() - plan.waiting - learned.tried
            return {**learned.summary, UNREAD: sorted(plan.not_learned(learned.read)), UNTRIED: sorted(untried)}

        summary = dict(self._run_finetuning("update", stage_hash, make).result)
        self._unread, untried = frozenset(summary.pop(UNREAD)), frozenset(summary.pop(UNTRIED, ()))
        if summary["kept_step"] == 0:
            self._untried = untried
            self._display.say("The old model stays: the new one is not better on the validation files")
        if left := self._untried if summary["kept_step"] == 0 else self._unread:
            self._display.say(
                f"{len(left)} of these files were not learned in {summary['minutes']:g} minutes; the next update goes "
                "on with them"
            )
        return summary

    def _provenance(self, learned: Learned) -> dict[str, Any]:
        provenance, unread = super()._provenance(learned), self._plan.not_learned(learned.read)
        hashes = {file.sha256 for file in self._corpus.files if file.path in unread}
        kept = [one for one in provenance["learned_sha256"] if one not in hashes]
        return {**provenance, "learned_sha256": kept}

    def _swap(self, stage_hash: str, commit: str | None, version: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put the bundle of the new model, then that model, then its history, in the place of the old ones.

        Returns what the export has measured. Where its parity check fails the old ones stay, and this returns None.
        """
        known = self._plan.followed.known.without(
            (file for file in self._corpus.files if file.path in self._unread), self._history.known
        )
        looked_at = commit
        if self._unread or commit is None:  # what is new in them, or after a run without git, is so beside the older
            commit = self._history.commit
        following = replace(
            self._history, model_hash=stage_hash, commit=commit, looked_at=looked_at, known=known, tried=()
        )
        following = _with_version(following, {**version, "kept": "new"})
        write_history(self._paths.stages, following, NEXT)
        try:
            exported = self._export_model(stage_hash)
        except ParityError as error:
            drop_next_history(self._paths.stages)
            self._display.say(f"The old model stays. {error.finding}.")
            return None
        self._history = following
        take_place(self._paths, self._stages)
        return exported

    def _export_model(self, model_hash: str) -> dict[str, Any]:
        """Export the updated model, unless that is done; what the export has measured."""
        exported: dict[str, Any] = self._run_export(model_hash).result
        return exported

    @property
    def _export_settings(self) -> ExportSettings:
        """With a short check, if graph, tokenizer and precision are those of a bundle that passed the whole one."""
        settings = super()._export_settings
        if settings.precision is not self._settings.served:
            return settings
        if settings.precision is Precision.FP32:  # which has no other check than that of logits
            prompts = SHORT_PARITY.prompts if variants_of(self._paths.bundle) else 2  # added graphs have the other too
            return replace(settings, parity=replace(SHORT_PARITY, prompts=prompts, logit_prompts=2))
        return replace(settings, parity=SHORT_PARITY)

    def _run_drafts(self) -> None:
        stage_hash = hash_of(model=self._history.model_hash, texts=self._plan.found, seen=self._seen)
        self._stages.run("renew the drafts", stage_hash, self._renew_drafts, [self._paths.bundle])

    def _renew_drafts(self, advance: OnProgress) -> dict[str, Any]:
        drafts = self._drafts(BuildPaths(root=self._paths.root))  # of the model that stays
        bundle = renew_drafts(self._paths.bundle, drafts, self._seen)
        return dict(bundle.manifest["drafts"])

    @property
    def _seen(self) -> list[str]:
        """SHA-256 of the texts that another update would do no more for."""
        if self._settings.minutes == 0:  # nothing has tried to learn them
            return []
        untried = {self._plan.to_learn[path] for path in self._untried}
        return [one for one in self._plan.found if one not in untried]

    def _remember(self, version: Mapping[str, Any]) -> None:
        self._history = _with_version(self._history, version)
        write_history(self._paths.stages, self._history)

    def _finish(
        self, document: dict[str, Any], rows: Mapping[str, Mapping[str, Any]], started: float
    ) -> dict[str, Any]:
        """The whole document; the build's report gets the versions."""
        paths = self._paths
        shutil.rmtree(paths.result, ignore_errors=True)  # it has taken its place, or was not better
        document |= {
            "models": [{**rows.get("held_out", {}), **unscored(paths.bundle)}],
            **({"held_out_before": rows["held_out_before"]} if "held_out_before" in rows else {}),
            **({"since": rows["since"]} if "since" in rows else {}),
            "history": [{name: one[name] for name in one if name != "stage_hash"} for one in self._history.versions],
            "stages": stage_rows(self._stages.records),
            "seconds": round(time.perf_counter() - started, 1),
            "paths": {"model": str(paths.model), "bundle": str(paths.bundle), "report": str(paths.report)},
        }
        try:
            report = read_saved(paths.figures)
            if report.get("schema") != REPORT_SCHEMA:
                raise BuildError(f"{paths.figures} is of another version; build again to renew it.")
            report |= {name: document[name] for name in ("history", "parity") if name in document}
            page = render_beside_evaluation(report, paths, graph_of(paths.bundle), title=self._settings.title)
        except BuildError as error:  # the report alone: the model and its bundle are in place
            self._display.say(f"The report stays as it is: {error}")
        else:
            write_json(paths.figures, report, mode=PRIVATE)
            write_text(paths.report, page, mode=PRIVATE)
        return document


def _commits(before: str | None, after: str | None) -> dict[str, str]:
    ends = {"from_commit": before, "to_commit": after}
    return {name: commit for name, commit in ends.items() if commit is not None}


def _with_version(history: History, version: Mapping[str, Any]) -> History:
    """The version comes last, in the place of an earlier record of it."""
    others = history.versions
    if others and others[-1].get("stage_hash") == version["stage_hash"]:
        others = others[:-1]
    return replace(history, versions=(*others, version))


def _describe(files: Mapping[str, int]) -> str:
    return (
        f"New or changed since: {files['to_learn']} files to learn from, {files['to_validate']} to validate on, "
        f"{files['held_out']} held out" + (f"; {files['set_aside']} set aside" if files["set_aside"] else "")
    )
