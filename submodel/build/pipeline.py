"""The whole build: repository and base in, sub-model, bundle and figures out."""

from __future__ import annotations

import time

from builder.artifact import read_artifact
from builder.bases.load import ResolvedBase, resolve_base
from builder.bases.model_config import read_servable_config
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import HeldOut, make_held_out
from builder.evaluation.infill import InfillEncoder
from builder.evaluation.scores import is_worse
from builder.evaluation.scoring import Scorable
from builder.evaluation.torch_predictor import TorchPredictor
from builder.gguf.reader import open_gguf
from builder.gguf.weights import count_parameters
from builder.memory import give_back_memory
from builder.versions import SCORING_VERSION
from contract.bundle.bundle import graph_of
from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import check_can_trust, trust_build
from contract.documents import SUB_MODEL, BuildReport
from contract.files.folders import restore_folder
from contract.files.seals import seal_key
from contract.files.whole_files import PRIVATE, write_json, write_text
from exporters.checkpoint_reader import read_shape
from submodel.build.build_settings import BuildSettings
from submodel.build.checkout import read_checkout, say_large
from submodel.build.document import base_facts, score_part, stage_rows, unscored
from submodel.build.kept_answers import KeptAnswers
from submodel.build.lock import build_lock
from submodel.build.model_stages import ModelStages
from submodel.build.paths import BuildPaths, prepare_output, remove_leftovers
from submodel.build.stage_times import expected_stages
from submodel.build.stages import StageRecord, hash_of
from submodel.console import StageDisplay
from submodel.memory_and_disk import build_disk_bytes, check_disk, check_memory
from submodel.report.render import REPORT_SCHEMA, render_beside_evaluation


def run_build(settings: BuildSettings, display: StageDisplay) -> BuildReport:
    """Run the stages that have not run yet; returns the document that `--json` prints.

    Raises SubmodelError. What an earlier build left stays until a stage has something whole to put in its place.
    """
    started = time.perf_counter()
    seal_key()  # raises now what would be raised after the base was fetched; so does the next line
    check_can_trust()
    prepare_output(settings.output)
    with build_lock(settings.output):  # what refuses an output does so before a large repository is read
        with display.stage("read the repository") as advance:
            corpus = read_checkout(settings.repository, display, advance)
            if settings.minutes and (large := say_large(corpus)) is not None:
                display.say(large)
            held_out = make_held_out(corpus.files, settings.scoring) if settings.positions else None
        paths = BuildPaths(root=settings.output)
        for folder in (paths.pruned, paths.model, paths.bundle):
            restore_folder(folder)  # else the stage that made it would run again
        with display.stage("find the base") as advance:
            base = resolve_base(settings.base, check=read_servable_config, on_event=display.say, on_progress=advance)
        _say_shortage(settings, _count_parameters(base), display)
        return Build(settings, display, corpus, base).run(held_out, started)


def _count_parameters(base: ResolvedBase) -> int:
    """How many parameters the base has; refuses now what pruning or an export would refuse after minutes."""
    if not base.is_gguf:
        return read_shape(read_servable_config(base.path, base.name), base.path).parameters
    with open_gguf(base.path) as gguf:
        return count_parameters(gguf)


def _say_shortage(settings: BuildSettings, parameters: int, display: StageDisplay) -> None:
    """Say so if memory or disk may not do for a base of so many parameters."""
    if (memory := check_memory(parameters)).advice:
        display.say(f"Memory: {memory.found}. {memory.advice}")
    needed = build_disk_bytes(parameters, settings.size)
    if (disk := check_disk("disk", settings.output, needed)).advice:
        display.say(f"Disk: {disk.found}. {disk.advice}")


class Build(ModelStages):
    """Runs all stages of a build in their order, and makes its report."""

    def run(self, held_out: HeldOut | None, started: float) -> BuildReport:
        """Run the stages; returns the document that `--json` prints. started: by time.perf_counter()."""
        settings, paths, stages, display = self._settings, self._paths, self._stages, self._display
        display.expect(expected_stages(settings, self._base))
        pruned, finetuned, model_hash = self._make_model()
        if finetuned.result.get("kept_step") == 0:
            display.say(
                "Fine-tuning made the model no better on its validation files, so it is exported as it was before; "
                "give it more --minutes, or another --seed"
            )
        exported = self._run_export(model_hash)
        trust_build(build_of(paths.bundle))  # a bundle that is kept may be older than the list, or the list lost
        document: BuildReport = {
            "schema": REPORT_SCHEMA,
            "models": [unscored(paths.bundle)],
            "base": base_facts(self._base.to_json(), paths.model),
            "plan": pruned.result["plan"],
            "calibration": pruned.result["calibration"],
            "finetuning": finetuned.result,
            "parity": exported.result["parity"],
            "corpus": self._corpus.summary(),
            "stages": stage_rows(stages.records),
            "seconds": 0.0,
            # Of pruning and fine-tuning, though other runs may have done them.
            "peak_rss_bytes": (read_artifact(paths.model).manifest or {}).get("peak_rss_bytes"),
            "paths": {"model": str(paths.model), "bundle": str(paths.bundle), "report": str(paths.report)},
        }
        document["seconds"] = round(time.perf_counter() - started, 1)
        if held_out:
            if exported.is_fresh:  # the report that lies there is of another bundle
                self._write_report(document)
            display.say(f"The bundle is ready: editors can use {paths.bundle} now. The build goes on to score it")
            base = self._score_base(held_out)
            self._loaded = None  # before the sub-model is scored
            give_back_memory()
            ours = self._scores.score_bundle("score the sub-model", model_hash, paths.bundle, held_out)
            with display.stage("score the baselines"):
                baselines = score_baselines(self._corpus, held_out.fim_examples)
            document = {**document, **score_part(base, self._base.weight_bytes, ours, held_out, baselines)}
            document["is_worse"] = is_worse(document["against_base"][SUB_MODEL])
        document["stages"] = stage_rows(stages.records)
        document["seconds"] = round(time.perf_counter() - started, 1)
        self._write_report(document)
        remove_leftovers(paths)
        return document

    def _write_report(self, document: BuildReport) -> None:
        """Write the document and its page beside the bundle."""
        paths = self._paths
        write_json(paths.figures, document, mode=PRIVATE)
        page = render_beside_evaluation(document, paths, graph_of(paths.bundle), title=self._settings.title)
        write_text(paths.report, page, mode=PRIVATE)

    def _score_base(self, held_out: HeldOut) -> StageRecord:
        """Kept as long as the base and the files that it is asked about stay the same, whatever happens to others.

        Of other files only those prompts are asked that no build here has asked before.
        """
        return self._scores.score("score the base", hash_of(base=self._base.identity), self._open_base, held_out)

    def _open_base(self) -> Scorable:
        base = self._load_base()
        predictor = TorchPredictor("base", base.model, InfillEncoder(base.tokenizer, base.prompt))
        model_hash = hash_of(version=SCORING_VERSION, base=self._base.identity, dtype=self._dtype)
        return KeptAnswers(predictor, self._paths.base_answers, model_hash, is_fresh=self._settings.force)
