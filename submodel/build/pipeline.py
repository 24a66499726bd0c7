"""The whole build: repository and base in, sub-model, bundle and figures out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from builder.artifact import MANIFEST, read_artifact
from builder.bases.load import LoadedBase, load_resolved, resolve_base
from builder.bases.resolve import ResolvedBase
from builder.checkpoint_writer import parity_examples, save_checkpoint, save_reweighted
from builder.corpus.corpus import Corpus, read_corpus
from builder.datasets import open_language
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import HeldOut, make_held_out
from builder.evaluation.infill import base_encoder
from builder.evaluation.scores import Scores, compare
from builder.evaluation.scoring import Predictor, score
from builder.evaluation.torch_predictor import TorchPredictor
from builder.fim_examples import FimExample, draw_example_pairs
from builder.finetuning.training_state import StateFile
from builder.memory import peak_rss_bytes
from builder.number_format import fastest_dtype
from builder.pruning.structured_pruning import least_size_for, prune
from contract.bundle.bundle import Bundle, build_of, read_bundle
from contract.bundle.threshold import KEY
from contract.bundle.trusted_builds import trust_build
from contract.console import Advance, StageDisplay
from contract.documents import BuildReport, FineTuningFacts, PlanFacts, ThresholdFacts
from contract.files.folders import PRIVATE, replace_folder, write_json, write_text
from contract.progress import part_of
from contract.prompt import PromptEncoder
from exporters.bundle_export import export_bundle
from exporters.export_settings import ExportSettings
from exporters.precision import parse_precision
from lsp_server.completion import Completer
from lsp_server.decoding.engine import Engine
from submodel.build.build_settings import BuildSettings
from submodel.build.document import ScoreRecords, base_facts, score_part, scores_of, stage_rows, unscored_bundle
from submodel.build.history import remember_build
from submodel.build.lock import build_lock
from submodel.build.paths import BuildPaths, prepare_output
from submodel.build.size_search import SIZES, is_as_good, is_worse, smallest_size
from submodel.build.stage_times import expected_stages, remember_stages
from submodel.build.stages import StageRecord, Stages, hash_of
from submodel.evaluation.bundle_predictor import BundlePredictor
from submodel.evaluation.fit_threshold import fit_threshold
from submodel.evaluation.line_times import line_times
from submodel.evaluation.predictors import open_checkpoint
from submodel.report.render import REPORT_SCHEMA, render_report

PIPELINE_VERSION = 11  # raised when the same inputs give another model, so that stages of older versions are not kept
SCORING_VERSION = 1  # likewise for the base's scores
# Likewise for the bundle; 2: rotated int8, 3: int8 weights without MatMulNBits, 4: drafts, 5: confidence threshold,
# 6: one quantization step for all rows behind a norm, 7: threshold on two places a line, 8: the key "threshold",
# 9: threshold from short prompts.
EXPORT_VERSION = 9
PROGRAM = f"{PIPELINE_VERSION}.{EXPORT_VERSION}"  # an update goes on from models of this one alone
VOCABULARY_FITS = 1.1  # at most so many times as many tokens as for the code that it was trimmed for
THRESHOLD_BEGINS = 0.5  # of an export's time, roughly


def run_build(settings: BuildSettings, display: StageDisplay) -> BuildReport:
    """Run the stages that have not run yet; returns the document that `--json` prints.

    Raises SubmodelError. What an earlier build left stays until a stage has something whole to put in its place.
    """
    started = time.perf_counter()
    with display.stage("read the repository") as advance:
        corpus, sources = _read_corpus(settings, display, advance)
        held_out = make_held_out(corpus.files, settings.scoring) if settings.positions else None
    prepare_output(settings.output)
    with build_lock(settings.output):
        with display.stage("find the base") as advance:
            base = resolve_base(settings.base, on_event=display.say, on_progress=advance)
        if base.is_sub_model and settings.keeps_sub_model:
            display.say(f"{base.name} is a sub-model already: it keeps its size, and the repository gets all the time")
            settings = replace(settings, size=1.0)
        return Build(settings, display, corpus, sources, base).run(held_out, started)


def _read_corpus(settings: BuildSettings, display: StageDisplay, advance: Advance) -> tuple[Corpus, dict[str, Any]]:
    """The repository, or the language's packages and what the manifest says of them."""
    if settings.language is None:
        return read_corpus(settings.repository, on_progress=advance), {}
    dataset = open_language(settings.language, settings.sources, on_event=display.say)
    return dataset.corpus, {"language": dataset.name, "distributions": dataset.describe_distributions()}


class Build:
    """One run of the stages in their order.

    An update (`submodel.build.update_run`) has other first stages, and no base.
    """

    _fresh: frozenset[str] = frozenset()  # paths that an update learns first
    _threshold_lines = 50  # validation lines that the confidence threshold is fitted on, at two places each

    def __init__(
        self,
        settings: BuildSettings,
        display: StageDisplay,
        corpus: Corpus,
        sources: Mapping[str, Any],
        base: ResolvedBase | None,
    ) -> None:
        self._settings = settings
        self._display = display
        self._corpus = corpus
        self._sources = sources  # of a language: its name and packages
        self._found_base = base
        self._loaded: LoadedBase | None = None
        self._paths = BuildPaths(root=settings.output)
        self._stages = Stages(self._paths.stages, display, force=settings.force)

    def run(self, held_out: HeldOut | None, started: float) -> BuildReport:
        """Run the stages; returns the document that `--json` prints."""
        settings, paths, stages, display = self._settings, self._paths, self._stages, self._display
        if settings.size is not None:  # how many sizes a search tries isn't known
            display.expect(expected_stages(settings, self._base))
        search: dict[str, Any] | None = None
        size = settings.size
        if size is None:
            search = self._choose_size()
            size = float(search["size"])
        pruned, finetuned, model_hash = self._model_at(size, paths)
        bundle_hash = self._bundle_hash(model_hash)
        exported = stages.run("export", bundle_hash, partial(self._export_served, paths), [paths.bundle])
        trust_build(build_of(paths.bundle))  # a bundle that is kept may be older than the list, or the list lost
        records: ScoreRecords | None = None
        if held_out:
            display.say(f"The bundle is ready: editors can use {paths.bundle} now, and the build goes on to measure it")
            is_scored = settings.scores_bundle
            records = ScoreRecords(
                base=self._score_base("score the base", held_out),
                sub_model=self._score("score the sub-model", model_hash, self._open_model(paths), held_out),
                bundle=self._score("score the bundle", bundle_hash, self._open_bundle, held_out) if is_scored else None,
            )

        document: BuildReport = {
            "schema": REPORT_SCHEMA,
            "models": [],
            "base": base_facts(self._base.to_json(), paths.model),
            "plan": pruned.result["plan"],
            "calibration": pruned.result["calibration"],
            "finetuning": finetuned.result,
            "parity": exported.result["parity"],
            "threshold": exported.result["threshold"],
            "corpus": self._corpus.summary(),
            "stages": [],
            "seconds": 0.0,
            # Of the run that pruned: this one may have kept that stage.
            "peak_rss_bytes": (read_artifact(paths.model).manifest or {}).get("peak_rss_bytes"),
            "paths": {"model": str(paths.model), "bundle": str(paths.bundle), "report": str(paths.report)},
        }
        if search:
            document["size_search"] = search
        if held_out and records:
            with self._display.stage("score the baselines"):
                baselines = score_baselines(self._corpus, held_out.fim_examples)
            document = {**document, **score_part(records, held_out, baselines)}
            document["is_worse"] = is_worse(document["against_base"]["sub-model"])
            if settings.dense_baseline:
                document["dense_baseline"] = self._compete(held_out, scores_of(records.sub_model), bundle_hash)
        if not (held_out and settings.scores_bundle):
            document["models"].append(unscored_bundle(paths.bundle))
        document["stages"] = stage_rows(stages.records)
        document["seconds"] = round(time.perf_counter() - started, 1)
        remember_stages(settings, self._base, stages.records)
        if settings.language is None:
            document["history"] = remember_build(paths.stages, self._corpus, PROGRAM, model_hash, document)
        write_json(paths.figures, document, mode=PRIVATE)
        write_text(paths.report, render_report(document, title=settings.title), mode=PRIVATE)
        return document

    @cached_property
    def _dtype(self) -> torch.dtype:
        """Measured when a stage first needs it: a build that repeats nothing does without."""
        return fastest_dtype()

    def _load_base(self) -> LoadedBase:
        """The base in memory, read when the first stage needs it; pruning consumes it."""
        if self._loaded is None:
            self._loaded = load_resolved(self._base, on_event=self._display.say, dtype=self._dtype)
        return self._loaded

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """What every stage depends on, for its stage hash."""
        return {"version": PIPELINE_VERSION, "corpus": self._corpus.fingerprint, "base": self._base_identity}

    @property
    def _base(self) -> ResolvedBase:
        assert self._found_base is not None
        return self._found_base

    @property
    def _base_identity(self) -> dict[str, Any]:
        return {key: value for key, value in self._base.to_json().items() if key != "why"}

    def _model_at(
        self, size: float, paths: BuildPaths, suffix: str = "", *, keeps_format: bool = False
    ) -> tuple[StageRecord, StageRecord, str]:
        """The stages that make the sub-model of one size in `paths`: pruned, fine-tuned, and the result's stage hash.

        A fine-tuned model learns to be asked with the suffix first, unless it `keeps_format`, the base's own.
        """
        settings = self._settings.prune_to(size)
        suffix_first = self._settings.minutes > 0 and not keeps_format
        pruned_hash = hash_of(**self._inputs, prune=settings.to_json(), suffix_first=suffix_first)
        make = partial(self._prune, size, paths, suffix_first)
        pruned = self._stages.run(f"prune{suffix}", pruned_hash, make, [paths.pruned])
        stage_hash = hash_of(pruned=pruned_hash, finetuning=self._settings.finetuning.to_json())
        tune = partial(self._finetune, stage_hash, paths, suffix_first)
        finetuned = self._stages.run(f"finetune{suffix}", stage_hash, tune, [paths.model])
        return pruned, finetuned, stage_hash

    def _prune(self, size: float, paths: BuildPaths, suffix_first: bool, advance: Advance) -> dict[str, Any]:
        base, settings = self._load_base(), self._settings.prune_to(size)
        started = time.perf_counter()
        prompt = base.prompt
        to_be = replace(prompt, suffix_first=suffix_first and prompt.is_fim)
        pruned = prune(base.model, base.tokenizer, to_be, self._corpus, settings, on_layer=advance)
        pruned = replace(pruned, prompt=prompt)  # nothing has taught it the other prompt format yet
        self._compare_vocabulary(pruned.plan_summary)
        self._loaded = None  # changed in place: it is no longer the base
        earlier = [{"name": record.name, "seconds": record.seconds} for record in self._stages.records]
        save_checkpoint(
            paths.pruned,
            pruned,
            self._parity_examples,
            {
                "base": base.provenance,
                "licence": base.provenance["licence"],
                **self._sources,
                **self._corpus.provenance(),
                "seeds": {"calibration": settings.calibration.seed, "scoring": self._settings.scoring.seed},
                "settings": settings.to_json(),
                "dtype": str(self._dtype).removeprefix("torch."),
                "stages": [*earlier, {"name": "prune", "seconds": round(time.perf_counter() - started, 2)}],
                "peak_rss_bytes": peak_rss_bytes(),
            },
        )
        return {"plan": pruned.plan_summary, "calibration": pruned.calibration.summary()}

    def _compare_vocabulary(self, plan: PlanFacts) -> None:
        """Say so if a sub-model as the base has a vocabulary that was trimmed for other code than this."""
        earlier = read_artifact(self._base.path).characters_per_token if self._base.is_sub_model else 0.0
        if earlier > VOCABULARY_FITS * plan["characters_per_token"]:
            self._display.say(
                f"The vocabulary of {self._base.name} writes this repository in "
                f"{plan['characters_per_token']:.2f} characters a token, and the code that it was made of in "
                f"{earlier:.2f}: completions take longer. A build from the dense base trims a vocabulary for this one."
            )

    @cached_property
    def _parity_examples(self) -> tuple[FimExample, ...]:
        return parity_examples(self._corpus.files, self._settings.seed)

    def _finetune(self, stage_hash: str, paths: BuildPaths, suffix_first: bool, advance: Advance) -> FineTuningFacts:
        settings, source = self._settings.finetuning, read_artifact(paths.pruned)
        predictor = open_checkpoint("pruned", source, self._dtype)
        model, before = predictor.model, predictor.encoder
        prompt_format = replace(before.prompt_format, suffix_first=suffix_first and before.prompt_format.is_fim)
        encoder = PromptEncoder(before.tokenizer, prompt_format)
        started = time.perf_counter()
        summary: FineTuningFacts = {"minutes": 0.0}
        state_path = self._paths.finetuning_state
        if settings.minutes > 0:
            from builder.finetuning.finetune import finetune  # peft takes a second to import

            tuned = finetune(
                model,
                encoder,
                self._corpus.files,
                settings,
                state_path=state_path,
                stage_hash=stage_hash,
                fresh=self._fresh,
                on_event=self._display.say,
                on_progress=advance,
            )
            model, summary = tuned.model, tuned.summary
        stage = {"name": "finetune", "seconds": round(time.perf_counter() - started, 2)}
        known = source.manifest or {}
        facts = {"finetuning": summary, "stages": [*known["stages"], stage], "peak_rss_bytes": peak_rss_bytes()}
        facts |= self._corpus.provenance()
        has_learned = summary.get("kept_step", 0) > 0
        save_reweighted(paths.model, source, model, encoder if has_learned else before, self._parity_examples, facts)
        StateFile(path=state_path, stage_hash=stage_hash).remove()
        return summary

    def _compete(self, held_out: HeldOut, ours: Scores, bundle_hash: str) -> dict[str, Any]:
        """The dense base, fine-tuned for as long on the same files: what pruning costs against it, and what it buys."""
        own, paths, stages = self._paths, self._paths.dense_baseline, self._stages
        _, finetuned, stage_hash = self._model_at(1.0, paths, " (dense baseline)", keeps_format=True)
        baseline_hash = self._bundle_hash(stage_hash)
        stages.run("export (dense baseline)", baseline_hash, partial(self._export, paths), [paths.bundle])
        dense_baseline = scores_of(
            self._score("score the dense baseline", stage_hash, self._open_model(paths), held_out)
        )
        bundles = {"sub-model": own.bundle, "dense base, fine-tuned": paths.bundle}
        timed = stages.run(
            "time the bundles",
            hash_of(bundles=[bundle_hash, baseline_hash], positions=held_out.fingerprint),
            lambda advance: line_times(bundles, held_out.fim_examples, advance),
        )
        return {
            **dense_baseline.to_json(),
            "name": "dense base, fine-tuned",
            "finetuning": finetuned.result,
            "against_dense_baseline": compare(ours, dense_baseline),
            "bundle_bytes": {
                name: read_bundle(folder, verify=False).model_path.stat().st_size for name, folder in bundles.items()
            },
            "milliseconds": timed.result,
        }

    def _bundle_hash(self, model_hash: str) -> str:
        return hash_of(version=EXPORT_VERSION, model=model_hash, quantize=self._settings.quantize)

    def _export_served(self, paths: BuildPaths, advance: Advance) -> dict[str, Any]:
        """The bundle that is served, which the dense baseline's is not, has a confidence threshold."""
        confidence_threshold: dict[str, Any] = {}

        def measure(bundle: Bundle) -> Mapping[str, Any]:
            confidence_threshold.update(self._fit_threshold(bundle, part_of(advance, THRESHOLD_BEGINS, 1)))
            return {KEY: confidence_threshold}

        exported = self._export(paths, part_of(advance, 0, THRESHOLD_BEGINS), measure)
        return {**exported, "threshold": confidence_threshold}

    def _export(
        self,
        paths: BuildPaths,
        advance: Advance,
        measure: Callable[[Bundle], Mapping[str, Any]] = lambda bundle: {},
    ) -> dict[str, Any]:
        bundle = export_bundle(
            paths.model,
            paths.bundle,
            self._export_settings,
            drafts=self._drafts(paths),
            measure=measure,
            on_event=self._display.say,
            on_progress=advance,
        )
        return {"parity": bundle.manifest["parity"]}

    @property
    def _export_settings(self) -> ExportSettings:
        return ExportSettings(precision=parse_precision(self._settings.quantize))

    def _drafts(self, paths: BuildPaths) -> Iterator[Sequence[int]]:
        """The token ids of each code file but the held-out ones: a bundle is measured on those."""
        return read_artifact(paths.model).token_ids(file.text for file in self._corpus.learned if file.is_code)

    def _fit_threshold(self, bundle: Bundle, advance: Advance) -> ThresholdFacts:
        """How sure the served model has to be for a share of its suggestions to be right, on validation files."""
        self._display.say("Fitting the confidence threshold on lines that it did not learn from")
        files = [file for file in self._corpus.files if file.split == "validation" and file.is_code]
        fim_examples = draw_example_pairs(files, self._threshold_lines, self._settings.seed + 2)
        return fit_threshold(Completer(Engine(bundle)), fim_examples, advance).to_json()

    def _score_base(self, name: str, held_out: HeldOut) -> StageRecord:
        """Kept as long as the base and the files that it is asked about stay the same, whatever happens to others."""
        stage_hash = hash_of(version=SCORING_VERSION, base=self._base_identity)
        return self._score(name, stage_hash, self._open_base, held_out)

    def _score(self, name: str, model_hash: str, open_model: Callable[[], Predictor], held_out: HeldOut) -> StageRecord:
        def make(advance: Advance) -> dict[str, Any]:
            predictor = open_model()
            record = score(predictor, held_out, on_progress=advance).to_record()
            return record | ({"milliseconds": predictor.milliseconds} if isinstance(predictor, BundlePredictor) else {})

        stage_hash = hash_of(model=model_hash, positions=held_out.fingerprint)
        return self._stages.run(name, stage_hash, make)

    def _open_base(self) -> Predictor:
        base = self._load_base()
        encoder = base_encoder(base.tokenizer, base.prompt, is_sub_model=base.is_sub_model)
        return TorchPredictor("base", base.model, encoder)

    def _open_model(self, paths: BuildPaths) -> Callable[[], Predictor]:
        return lambda: open_checkpoint("sub-model", read_artifact(paths.model), self._dtype)

    def _open_bundle(self) -> Predictor:
        return BundlePredictor(read_bundle(self._paths.bundle))

    def _choose_size(self) -> dict[str, Any]:
        """The smallest size that is as good as the base on validation files, and what each trial came to.

        The model of that size is moved to where the build wants it.
        """
        settings = replace(self._settings.scoring, positions=self._settings.search_positions)
        validation = make_held_out(self._corpus.files, settings, split="validation")
        base = scores_of(self._score_base("score the base on validation", validation))
        trials: dict[float, dict[str, Any]] = {}

        def passes(size: float) -> bool:
            paths, suffix = self._paths.trial(size), f" at {size:g}"
            _, _, stage_hash = self._model_at(size, paths, suffix)
            figures = compare(
                scores_of(self._score(f"validate{suffix}", stage_hash, self._open_model(paths), validation)), base
            )
            trials[size] = {"size": size, "is_as_good": is_as_good(figures), **figures}
            self._display.say(f"Size {size:g}: {'as good as' if is_as_good(figures) else 'worse than'} the base")
            return is_as_good(figures)

        loaded = self._load_base()
        least = least_size_for(loaded.model, loaded.tokenizer, self._corpus, self._settings.prune_to(1.0))
        del loaded
        size = smallest_size([size for size in SIZES if size >= least], passes)
        trial = self._paths.trial(size)  # becomes the build's own, so that its stages need not run again
        self._adopt(trial.pruned, self._paths.pruned, "prune", f"prune at {size:g}")
        self._adopt(trial.model, self._paths.model, "finetune", f"finetune at {size:g}")
        return {"size": size, "trials": [trials[tried] for tried in sorted(trials)]}

    def _adopt(self, source: Path, target: Path, stage: str, made_by: str) -> None:
        """Put a copy of the model that the stage `made_by` made in the place of what `stage` makes, as its result."""
        with replace_folder(target, marker=MANIFEST) as fresh:
            shutil.copytree(source, fresh, dirs_exist_ok=True)
        self._stages.adopt(stage, made_by)
