"""The whole build: repository and base in, sub-model, bundle and figures out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from builder.artifact import read_artifact
from builder.bases.load import ResolvedBase, resolve_base
from builder.bases.model_config import read_servable_config
from builder.corpus.corpus import Corpus
from builder.datasets import open_language
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import HeldOut, make_held_out
from builder.evaluation.infill import base_encoder
from builder.evaluation.scores import Scores, compare, is_worse
from builder.evaluation.scoring import Scorable
from builder.evaluation.torch_predictor import TorchPredictor
from builder.evaluation.wording import compared
from builder.gguf.reader import open_gguf
from builder.gguf.weights import count_parameters
from builder.memory import give_back_memory
from builder.pruning.structured_pruning import least_size_for
from contract.bundle.bundle import graph_of, read_bundle
from contract.bundle.manifest import build_of
from contract.bundle.trusted_builds import check_can_trust, trust_build
from contract.console import StageDisplay
from contract.documents import SUB_MODEL, BuildReport
from contract.errors import BuildError
from contract.files.folders import restore_folder
from contract.files.removal import remove_tree
from contract.files.seals import seal_key
from contract.files.whole_files import PRIVATE, write_json, write_text
from contract.progress import OnProgress
from contract.versions import SCORING_VERSION
from exporters.checkpoint_reader import read_shape
from submodel.build.build_settings import BuildSettings
from submodel.build.checkout import read_checkout, say_large
from submodel.build.document import base_facts, score_part, scores_of, stage_rows, unscored
from submodel.build.kept_answers import KeptAnswers
from submodel.build.leftovers import remove_leftovers
from submodel.build.lock import build_lock
from submodel.build.model_stages import ModelStages
from submodel.build.paths import BuildPaths, prepare_output
from submodel.build.score_stages import open_bundle, score_hash
from submodel.build.size_search import SIZES, NoSizeError, is_as_good, smallest_size
from submodel.build.stage_times import expected_stages, remember_stages
from submodel.build.stages import StageRecord, adopt_model, hash_of
from submodel.evaluation.line_times import line_times
from submodel.evaluation.predictors import open_checkpoint
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
            corpus, sources = _read_corpus(settings, display, advance)
            held_out = make_held_out(corpus.files, settings.scoring) if settings.positions else None
        paths = BuildPaths(root=settings.output)
        for folder in (paths.pruned, paths.model, paths.bundle):
            restore_folder(folder)  # else the stage that made it would run again
        with display.stage("find the base") as advance:
            base = resolve_base(settings.base, check=read_servable_config, on_event=display.say, on_progress=advance)
        parameters = _count_parameters(base)
        if base.is_sub_model:
            if base.path.resolve().is_relative_to(settings.output.resolve()):
                raise BuildError(
                    f"{base.path} is the model that this build would replace; name another output with -o."
                )
            if settings.dense_baseline:
                raise BuildError(
                    f"--dense-baseline compares with the dense base, and {base.name} is a sub-model already; leave "
                    "it out, or name a dense base with --base."
                )
            if settings.keeps_sub_model:
                display.say(f"{base.name} is a sub-model already: it keeps its size. All the time goes to fine-tuning")
                settings = replace(settings, size=1.0)
        _say_shortage(settings, parameters, display)
        return Build(settings, display, corpus, sources, base).run(held_out, started)


def _count_parameters(base: ResolvedBase) -> int:
    """How many parameters the base has; refuses now what pruning or an export would refuse after minutes."""
    if not base.is_gguf:
        return read_shape(read_servable_config(base.path, base.name), base.path).parameters
    with open_gguf(base.path) as gguf:
        return count_parameters(gguf)


def _say_shortage(settings: BuildSettings, parameters: int, display: StageDisplay) -> None:
    """Say so if memory or disk may not do for a base of so many parameters."""
    needed = build_disk_bytes(parameters, settings.size, has_dense_baseline=settings.dense_baseline)
    if (memory := check_memory(parameters)).advice:
        display.say(f"Memory: {memory.found}. {memory.advice}")
    if (disk := check_disk("disk", settings.output, needed)).advice:
        display.say(f"Disk: {disk.found}. {disk.advice}")


def _read_corpus(settings: BuildSettings, display: StageDisplay, advance: OnProgress) -> tuple[Corpus, dict[str, Any]]:
    """The repository, or the language's packages and what the manifest says of them."""
    if settings.language is None:
        corpus = read_checkout(settings.repository, display, advance)
        if settings.minutes and (large := say_large(corpus)) is not None:
            display.say(large)
        return corpus, {}
    dataset = open_language(settings.language, settings.sources, on_event=display.say)
    return dataset.corpus, {"language": dataset.name, "distributions": dataset.describe_distributions()}


class Build(ModelStages):
    """Runs all stages of a build in their order, and makes its report."""

    def run(self, held_out: HeldOut | None, started: float) -> BuildReport:
        """Run the stages; returns the document that `--json` prints. started: by time.perf_counter()."""
        settings, paths, stages, display = self._settings, self._paths, self._stages, self._display
        if settings.size is not None:  # how many sizes a search tries isn't known
            display.expect(expected_stages(settings, self._base))
        search: dict[str, Any] | None = None
        size = settings.size
        if size is None:
            search = self._choose_size()
            size = float(search["size"])
        pruned, finetuned, model_hash = self._model_at(size, paths)
        if finetuned.result.get("kept_step") == 0:
            display.say(
                "Fine-tuning made the model no better on its validation files, so it is exported as it was before; "
                "give it more --minutes, or another --seed"
            )
        bundle_hash = self._bundle_hash(model_hash, paths)
        exported = stages.run("export", bundle_hash, partial(self._export, paths), [paths.bundle])
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
        if search:
            document["size_search"] = search
        document["seconds"] = round(time.perf_counter() - started, 1)
        if held_out:
            if exported.is_fresh:  # the report that lies there is of another bundle
                self._write_report(document)
            display.say(f"The bundle is ready: editors can use {paths.bundle} now. The build goes on to score it")
            base = self._score_base("score the base", held_out)
            self._loaded = None  # before the sub-model is scored
            give_back_memory()
            ours = self._scores.score_bundle("score the sub-model", model_hash, paths.bundle, held_out)
            with display.stage("score the baselines"):
                baselines = score_baselines(self._corpus, held_out.fim_examples)
            document = {**document, **score_part(base, self._base.weight_bytes, ours, held_out, baselines)}
            document["is_worse"] = is_worse(document["against_base"][SUB_MODEL])
            if settings.dense_baseline:
                document["dense_baseline"] = self._compete(held_out, scores_of(ours), bundle_hash)
        document["stages"] = stage_rows(stages.records)
        document["seconds"] = round(time.perf_counter() - started, 1)
        remember_stages(settings, self._base, stages.records)
        self._write_report(document)
        is_kept = settings.dense_baseline or not any(record.is_fresh for record in stages.records)
        remove_leftovers(paths, has_trials=settings.size is None, has_dense_baseline=is_kept)
        return document

    def _write_report(self, document: BuildReport) -> None:
        """Write the document and its page beside the bundle."""
        paths = self._paths
        write_json(paths.figures, document, mode=PRIVATE)
        page = render_beside_evaluation(document, paths, graph_of(paths.bundle), title=self._settings.title)
        write_text(paths.report, page, mode=PRIVATE)

    def _compete(self, held_out: HeldOut, ours: Scores, bundle_hash: str) -> dict[str, Any]:
        """The dense base, fine-tuned for as long on the same files: what pruning costs against it, and what it buys."""
        own, paths, stages = self._paths, self._paths.dense_baseline, self._stages
        _, finetuned, stage_hash = self._model_at(1.0, paths, " (dense baseline)")
        baseline_hash = self._bundle_hash(stage_hash, paths)
        stages.run("export (dense baseline)", baseline_hash, partial(self._export, paths), [paths.bundle])
        dense_baseline = scores_of(
            self._scores.score("score the dense baseline", baseline_hash, open_bundle(paths.bundle), held_out)
        )
        bundles = {SUB_MODEL: own.bundle, "dense base, fine-tuned": paths.bundle}
        timed = stages.run(
            "time the bundles",
            hash_of(version=SCORING_VERSION, bundles=[bundle_hash, baseline_hash], positions=held_out.fingerprint),
            lambda advance: line_times(bundles, held_out.fim_examples, advance),
        )
        return {
            **dense_baseline.to_json(),
            "name": "dense base, fine-tuned",
            "finetuning": finetuned.result,
            "against_dense_baseline": compare(ours, dense_baseline),
            "bundle_bytes": {name: read_bundle(folder, verify=False).graph_bytes for name, folder in bundles.items()},
            "milliseconds": timed.result,
        }

    def _score_base(self, name: str, held_out: HeldOut) -> StageRecord:
        """Kept as long as the base and the files that it is asked about stay the same, whatever happens to others.

        Of other files only those prompts are asked that no build here has asked before.
        """
        return self._scores.score(name, hash_of(base=self._base.identity), self._open_base, held_out)

    def _open_base(self) -> Scorable:
        base = self._load_base()
        encoder = base_encoder(base.tokenizer, base.prompt, is_sub_model=base.is_sub_model)
        predictor = TorchPredictor("base", base.model, encoder)
        model_hash = hash_of(version=SCORING_VERSION, base=self._base.identity, dtype=self._dtype)
        return KeptAnswers(predictor, self._paths.base_answers, model_hash, is_fresh=self._settings.force)

    def _open_model(self, paths: BuildPaths) -> Callable[[], Scorable]:
        return lambda: open_checkpoint(SUB_MODEL, read_artifact(paths.model), self._dtype)

    def _choose_size(self) -> dict[str, Any]:
        """The smallest size that is as good as the base on validation files, and what each trial came to.

        The model of that size is copied to where the build wants it. Those of the other sizes are removed. Their scores
        are kept, so that the same search makes none of them again.
        """
        settings = replace(self._settings.scoring, positions=self._settings.search_positions)
        validation = make_held_out(self._corpus.files, settings, split="validation")
        base = scores_of(self._score_base("score the base on validation", validation))
        trials: dict[float, dict[str, Any]] = {}
        made: set[float] = set()

        def make(size: float) -> None:
            made.add(size)
            self._model_at(size, self._paths.trial(size), f" at {size:g}")

        def passes(size: float) -> bool:
            name, model = f"validate at {size:g}", self._open_model(self._paths.trial(size))
            _, model_hash = self._hashes_at(size)
            if not self._stages.has(name, score_hash(model_hash, validation)):
                make(size)
            figures = compare(scores_of(self._scores.score(name, model_hash, model, validation)), base)
            trials[size] = {"size": size, "is_as_good": is_as_good(figures), **figures}
            verdict = "as good as the base" if is_as_good(figures) else "not chosen"
            self._display.say(f"Size {size:g}: {verdict} ({compared(figures)})")
            return is_as_good(figures)

        loaded = self._load_base()
        least = least_size_for(loaded.model, loaded.tokenizer, self._corpus, self._settings.prune_to(1.0))
        del loaded
        self._loaded = None  # where each stage below was kept, nothing else would let the dense base go
        try:
            size = smallest_size([size for size in SIZES if size >= least], passes)
        except NoSizeError:
            remove_tree(self._paths.trials)  # the scores are kept
            raise
        if size not in made:
            make(size)
        trial = self._paths.trial(size)  # becomes the build's own, so that its stages need not run again
        adopt_model(self._stages, trial.pruned, self._paths.pruned, "prune", f"prune at {size:g}")
        adopt_model(self._stages, trial.model, self._paths.model, "finetune", f"finetune at {size:g}")
        for other in SIZES:
            if other != size:
                remove_tree(self._paths.trial(other).root)
        return {"size": size, "trials": [trials[tried] for tried in sorted(trials)]}
