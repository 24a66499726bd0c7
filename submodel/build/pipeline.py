"""The whole build: repository and base in, sub-model, bundle and figures out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from builder.artifact import read_artifact
from builder.bases.load import LoadedBase, load_resolved, resolve_base
from builder.checkpoint import save_checkpoint, save_reweighted
from builder.corpus.corpus import read_corpus
from builder.errors import BuildError
from builder.evaluation.baselines import score_baselines
from builder.evaluation.held_out import make_held_out
from builder.evaluation.scores import Scores, compare
from builder.evaluation.scoring import Predictor, score
from builder.evaluation.torch_predictor import TorchPredictor
from builder.folders import write_json, write_text
from builder.precision import fastest_dtype
from builder.prompt import PromptEncoder
from builder.pruning.prune import prune
from exporters.bundle import read_bundle
from exporters.export import ExportSettings, export_bundle
from exporters.precision import parse_precision
from submodel.build.memory import peak_rss_bytes
from submodel.build.settings import BuildSettings
from submodel.build.stages import StageRecord, Stages, key_of
from submodel.console import Advance, StageDisplay
from submodel.evaluation.bundle_predictor import BundlePredictor
from submodel.evaluation.predictors import open_checkpoint
from submodel.report.render import render_report

PIPELINE_VERSION = 3  # raised when the same inputs give another model, so that stages of older versions are not kept
EXPORT_VERSION = 3  # likewise for the bundle; 2: rotated int8, 3: int8 weights without MatMulNBits
PARITY_PROMPTS = 64  # held-out prompts that the export compares precisions on


@dataclass(frozen=True, kw_only=True)
class BuildPaths:
    """Where a build writes."""

    root: Path

    @property
    def pruned(self) -> Path:
        """The pruned model before recovery, from which another recovery can start."""
        return self.root / "pruned"

    @property
    def model(self) -> Path:
        """The sub-model, a transformers folder."""
        return self.root / "model"

    @property
    def bundle(self) -> Path:
        """The ONNX bundle that is served."""
        return self.root / "bundle"

    @property
    def report(self) -> Path:
        """What people read: one HTML file."""
        return self.root / "report.html"

    @property
    def figures(self) -> Path:
        """The same as JSON, with every answer."""
        return self.root / "report.json"

    @property
    def stages(self) -> Path:
        """Records of the finished stages."""
        return self.root / "stages"


def run_build(settings: BuildSettings, display: StageDisplay) -> dict[str, Any]:
    """Run the stages that have not run yet; returns the document that `--json` prints.

    Raises SubmodelError. What an earlier build left stays until a stage has something whole to put in its place.
    """
    return _Build(settings, display).run()


class _Build:
    def __init__(self, settings: BuildSettings, display: StageDisplay) -> None:
        self._settings = settings
        self._display = display
        self._paths = BuildPaths(root=settings.output)
        self._stages = Stages(self._paths.stages, display, force=settings.force)

    def run(self) -> dict[str, Any]:
        started = time.perf_counter()
        settings, paths, stages = self._settings, self._paths, self._stages
        with self._display.stage("read the repository"):
            self._corpus = read_corpus(settings.repository)
            self._held_out = make_held_out(self._corpus.files, settings.scoring) if settings.positions else None
        prepare_output(paths.root)
        with self._display.stage("find the base") as advance:
            self._base = resolve_base(settings.base, on_event=self._display.say, on_progress=advance)

        identity = {key: value for key, value in self._base.to_json().items() if key != "why"}
        text = {"version": PIPELINE_VERSION, "corpus": self._corpus.fingerprint}
        scoring = asdict(settings.scoring)
        pruned_key = key_of(**text, base=identity, prune=settings.prune.to_json())
        model_key = key_of(pruned=pruned_key, recovery=settings.recovery.to_json())
        bundle_key = key_of(version=EXPORT_VERSION, model=model_key, quantize=settings.quantize)

        scores: list[StageRecord] = []
        # The base is scored first: pruning changes it in place, and two copies need twice the memory.
        if self._held_out is not None:
            key = key_of(**text, base=identity, scoring=scoring)
            scores.append(stages.run("score the base", key, self._score_base))
        pruned = stages.run("prune", pruned_key, self._prune, [paths.pruned])
        self._recovery_key = model_key
        recovered = stages.run("recover", model_key, self._recover, [paths.model])
        exported = stages.run("export", bundle_key, self._export, [paths.bundle])
        if self._held_out is not None:
            key = key_of(model=model_key, scoring=scoring)
            scores.append(stages.run("score the sub-model", key, self._score_sub_model))
            if settings.scores_bundle:
                key = key_of(bundle=bundle_key, scoring=scoring)
                scores.append(stages.run("score the bundle", key, self._score_bundle))

        document: dict[str, Any] = {
            "models": [*map(_row, scores), *self._unscored_bundle()],
            "base": self._base.to_json(),
            "plan": pruned.result["plan"],
            "calibration": pruned.result["calibration"],
            "recovery": recovered.result,
            "parity": exported.result["parity"],
            "corpus": self._corpus.summary(),
            "stages": [
                {"name": record.name, "seconds": record.seconds, "is_fresh": record.is_fresh}
                for record in stages.records
            ],
            "seconds": round(time.perf_counter() - started, 1),
            # Of the run that pruned: this one may have kept that stage.
            "peak_rss_bytes": (read_artifact(paths.model).manifest or {}).get("peak_rss_bytes"),
            "paths": {"model": str(paths.model), "bundle": str(paths.bundle), "report": str(paths.report)},
        }
        if self._held_out is not None:
            base, *ours = (_scores(record) for record in scores)
            document["against_base"] = {model.name: compare(model, base) for model in ours}
            document["baselines"] = [row.to_json() for row in score_baselines(self._corpus, self._held_out.cuts)]
            document["answers"] = self._answers(scores)
        write_json(paths.figures, document)
        write_text(paths.report, render_report(document, title=settings.repository.resolve().name))
        return document

    @cached_property
    def _dtype(self) -> torch.dtype:
        """Measured when a stage first needs it: a build that repeats nothing does without."""
        return fastest_dtype()

    @cached_property
    def _loaded(self) -> LoadedBase:
        """The base in memory, read when the first stage needs it; pruning consumes it."""
        return load_resolved(self._base, on_event=self._display.say, dtype=self._dtype)

    def _score_base(self, advance: Advance) -> dict[str, Any]:
        base = self._loaded
        predictor = TorchPredictor("base", base.model, PromptEncoder(base.tokenizer, base.prompt))
        return self._score(predictor, advance)

    def _prune(self, advance: Advance) -> dict[str, Any]:
        base, settings = self._loaded, self._settings
        started = time.perf_counter()
        pruned = prune(base.model, base.tokenizer, base.prompt, self._corpus, settings.prune, on_layer=advance)
        del self.__dict__["_loaded"]  # changed in place: it is no longer the base
        earlier = [{"name": record.name, "seconds": record.seconds} for record in self._stages.records]
        prompts = make_held_out(self._corpus.files, replace(settings.scoring, positions=PARITY_PROMPTS))
        save_checkpoint(
            self._paths.pruned,
            pruned,
            prompts.cuts,
            {
                "base": base.provenance,
                "licence": base.provenance["licence"],
                "corpus": self._corpus.summary(),
                "held_out_sha256": [file.sha256 for file in self._corpus.select("held-out")],  # of their texts
                "seeds": {"calibration": settings.prune.calibration.seed, "scoring": settings.scoring.seed},
                "settings": settings.prune.to_json(),
                "dtype": str(self._dtype).removeprefix("torch."),
                "stages": [*earlier, {"name": "prune", "seconds": round(time.perf_counter() - started, 2)}],
                "peak_rss_bytes": peak_rss_bytes(),
            },
        )
        return {"plan": pruned.plan_summary, "calibration": pruned.calibration.summary()}

    def _recover(self, advance: Advance) -> dict[str, Any]:
        settings, source = self._settings.recovery, read_artifact(self._paths.pruned)
        predictor = open_checkpoint("sub-model", source, self._dtype)
        model, encoder = predictor.model, predictor.encoder
        started = time.perf_counter()
        summary: dict[str, Any] = {"minutes": 0.0}
        if settings.minutes > 0:
            from builder.recovery.recover import recover  # peft takes a second to import

            tuned = recover(
                model,
                encoder,
                self._corpus.files,
                settings,
                state_path=self._paths.stages / "recovery.safetensors",
                key=self._recovery_key,
                on_event=self._display.say,
                on_progress=advance,
            )
            model, summary = tuned.model, tuned.summary
        stage = {"name": "recover", "seconds": round(time.perf_counter() - started, 2)}
        known = source.manifest or {}
        facts = {"recovery": summary, "stages": [*known["stages"], stage], "peak_rss_bytes": peak_rss_bytes()}
        save_reweighted(self._paths.model, source, model, facts)
        return summary

    def _export(self, advance: Advance) -> dict[str, Any]:
        settings = ExportSettings(precision=parse_precision(self._settings.quantize))
        bundle = export_bundle(
            self._paths.model, self._paths.bundle, settings, on_event=self._display.say, on_progress=advance
        )
        return {"parity": bundle.manifest["parity"]}

    def _score_sub_model(self, advance: Advance) -> dict[str, Any]:
        return self._score(open_checkpoint("sub-model", read_artifact(self._paths.model), self._dtype), advance)

    def _score_bundle(self, advance: Advance) -> dict[str, Any]:
        predictor = BundlePredictor(read_bundle(self._paths.bundle))
        return {**self._score(predictor, advance), "milliseconds": predictor.milliseconds}

    def _score(self, predictor: Predictor, advance: Advance) -> dict[str, Any]:
        if self._held_out is None:
            raise BuildError("Nothing was held out to score on.")
        return score(predictor, self._held_out, on_progress=advance).to_record()

    def _unscored_bundle(self) -> list[dict[str, Any]]:
        """The bundle's row without figures that were not measured; nothing where it was scored."""
        if self._settings.scores_bundle and self._held_out is not None:
            return []
        bundle = read_bundle(self._paths.bundle, verify=False)
        size = bundle.model_path.stat().st_size
        return [{"name": "bundle", "parameters": bundle.manifest["parameters"], "bytes": size}]

    def _answers(self, records: Sequence[StageRecord]) -> list[dict[str, Any]]:
        """Each held-out position with every model's answer, for reports and for people who doubt them."""
        if self._held_out is None:
            return []
        times = records[-1].result.get("milliseconds")  # of the bundle, where it was scored
        models = [_scores(record) for record in records]
        return [
            {
                "path": cut.file.path,
                "offset": cut.offset,
                "line": cut.file.text[: cut.offset].rpartition("\n")[2],
                "truth": cut.middle,
                "answers": {model.name: model.lines[index].answer for model in models},
            }
            | ({"bundle_milliseconds": round(times[index], 1)} if times else {})
            for index, cut in enumerate(self._held_out.cuts)
        ]


def _scores(record: StageRecord) -> Scores:
    return Scores.from_record(record.result)


def _row(record: StageRecord) -> dict[str, Any]:
    return _scores(record).to_json()


def prepare_output(folder: Path) -> None:
    """Make `.submodel` and keep git from seeing it; raises BuildError where it can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BuildError(
            f"{folder} can't be written ({error.strerror or error}); choose another folder with -o."
        ) from error
