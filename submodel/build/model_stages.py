"""The stages that make models: prune, fine-tune, export. Each runs once for the same inputs (`Stages`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from tokenizers import Tokenizer

from builder.artifact import SubModel, read_artifact
from builder.bases.load import LoadedBase, load_resolved
from builder.bases.resolve import ResolvedBase
from builder.checkpoint_writer import parity_examples, save_checkpoint, save_reweighted
from builder.corpus.corpus import Corpus
from builder.fim_examples import FimExample
from builder.finetuning.training_state import StateFile
from builder.int8 import is_int8_faster, multiplies_rightly
from builder.memory import keep_to_machine, peak_rss_bytes
from builder.number_format import DTYPES, fastest_dtype
from builder.pruning.structured_pruning import prune
from builder.versions import EXPORT_VERSION, PIPELINE_VERSION
from contract.bundle.drafts import within_limit
from contract.documents import FineTuningFacts
from contract.progress import OnProgress
from contract.prompt import PromptEncoder
from contract.repository.secrets import remove_doubtful
from contract.repository.texts import cut_order
from exporters.bundle_export import export_bundle
from exporters.parity import ExportSettings
from exporters.precision import parse_precision
from submodel.build.build_settings import BuildSettings
from submodel.build.paths import BuildPaths
from submodel.build.score_stages import ScoreStages
from submodel.build.stages import StageRecord, Stages, hash_of, made_at
from submodel.console import StageDisplay
from submodel.evaluation.predictors import open_checkpoint


class ModelStages:
    """What the stages of one build share, and the stages that make its models.

    `submodel.build.pipeline` has their order.
    """

    def __init__(
        self,
        settings: BuildSettings,
        display: StageDisplay,
        corpus: Corpus,
        base: ResolvedBase,
    ) -> None:
        keep_to_machine()
        self._settings = settings
        self._display = display
        self._corpus = corpus
        self._base = base
        self._loaded: LoadedBase | None = None
        self._paths = BuildPaths(root=settings.output)
        self._stages = Stages(self._paths.stages, display, force=settings.force)
        self._scores = ScoreStages(self._stages)
        self._left_out: Counter[str] = Counter()  # lines of the drafts that look like secrets, by kind

    @cached_property
    def _dtype(self) -> torch.dtype:
        """Measured when a stage first needs it: a build that repeats nothing does without."""
        return fastest_dtype() if self._settings.dtype is None else DTYPES[self._settings.dtype]

    @cached_property
    def _is_int8(self) -> bool:
        """Whether products with weights that stay as they are are taken in 8 bits: measured, as the number format is.

        With `steps` set no clock is to decide which model comes out.
        """
        return self._settings.finetuning.steps is None and is_int8_faster(self._dtype)

    def _load_base(self) -> LoadedBase:
        """The base in memory, read when the first stage needs it; pruning consumes it."""
        if self._loaded is None:
            self._loaded = load_resolved(self._base, on_event=self._display.say, dtype=self._dtype)
        return self._loaded

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """What every stage depends on, for its stage hash."""
        return {"version": PIPELINE_VERSION, "corpus": self._corpus.fingerprint, "base": self._base.identity}

    def _make_model(self) -> tuple[StageRecord, StageRecord, str]:
        """The stages that make the sub-model: pruned, fine-tuned, and the result's stage hash.

        A fine-tuned model learns to be asked otherwise than the base (`PromptFormat.as_taught`).
        """
        # "keeps_order" is of earlier versions: without it their models would be made again.
        taught = {"is_taught": self._settings.minutes > 0, "keeps_order": False}
        pruned_hash = hash_of(**self._inputs, prune=self._settings.pruning.to_json(), **taught)
        pruned = self._stages.run("prune", pruned_hash, self._prune, [self._paths.pruned])
        stage_hash = hash_of(pruned=pruned_hash, finetuning=self._settings.finetuning.to_json())
        finetuned = self._stages.run("finetune", stage_hash, partial(self._finetune, stage_hash), [self._paths.model])
        if finetuned.is_fresh:  # its state is removed once its record is written, and only its own
            self._state_of(stage_hash).remove()
        return pruned, finetuned, stage_hash

    def _prune(self, advance: OnProgress) -> dict[str, Any]:
        base, settings = self._load_base(), self._settings.pruning
        started = time.perf_counter()
        prompt = base.prompt
        to_be = prompt.as_taught() if self._settings.minutes > 0 else prompt
        is_int8 = self._settings.dtype is None and self._is_int8  # a fleet's builds are to prune alike on all machines
        pruned = prune(base.model, base.tokenizer, to_be, self._corpus, settings, is_int8=is_int8, on_layer=advance)
        pruned = replace(pruned, prompt=prompt)  # nothing has taught it the other prompt format yet
        self._loaded = None  # changed in place: it is no longer the base
        earlier = [{"name": record.name, "seconds": record.seconds} for record in self._stages.records]
        save_checkpoint(
            self._paths.pruned,
            pruned,
            self._parity_examples,
            {
                "base": base.provenance,
                "licence": base.provenance["licence"],
                **self._corpus.provenance(),
                "seeds": {"calibration": settings.calibration.seed, "scoring": self._settings.scoring.seed},
                "settings": settings.to_json(),
                "dtype": str(self._dtype).removeprefix("torch."),
                "products": "int8" if is_int8 else str(self._dtype).removeprefix("torch."),
                "stages": [*earlier, {"name": "prune", "seconds": round(time.perf_counter() - started, 2)}],
                "peak_rss_bytes": peak_rss_bytes(),
            },
        )
        return {"plan": pruned.plan_summary, "calibration": pruned.calibration.summary()}

    @cached_property
    def _parity_examples(self) -> tuple[FimExample, ...]:
        return parity_examples(self._corpus.files, self._settings.seed)

    def _finetune(self, stage_hash: str, advance: OnProgress) -> FineTuningFacts:
        """Fine-tune the pruned model and save it."""
        settings, source = self._settings.finetuning, read_artifact(self._paths.pruned)
        self._loaded = None  # the base of a kept stage: it would stay in memory beside the model
        state = self._state_of(stage_hash)
        dtype, is_int8 = self._format_of(state)
        predictor = open_checkpoint("pruned", source, dtype)
        model, before = predictor.model, predictor.encoder
        encoder = PromptEncoder(before.tokenizer, before.prompt_format.as_taught())
        started = time.perf_counter()
        summary: FineTuningFacts = {"minutes": 0.0}
        if settings.minutes > 0:
            from builder.finetuning.finetune import finetune  # peft takes a second to import

            tuned = finetune(
                model,
                encoder,
                self._corpus.files,
                settings,
                state=state,
                is_int8=is_int8,
                on_event=self._display.say,
                on_progress=advance,
            )
            model, summary = tuned.model, tuned.summary
        stage = {"name": "finetune", "seconds": round(time.perf_counter() - started, 2)}
        known = source.manifest or {}
        peaks = (known.get("peak_rss_bytes"), peak_rss_bytes())  # another run may have pruned
        facts = {
            "finetuning": summary,
            "stages": [*known["stages"], stage],
            "peak_rss_bytes": max(filter(None, peaks), default=None),
            **self._corpus.provenance(),
        }
        encoder = encoder if summary.get("kept_step", 0) > 0 else before  # else it has learned nothing
        save_reweighted(self._paths.model, source, model, encoder, self._parity_examples, facts)
        return summary

    def _format_of(self, state: StateFile) -> tuple[torch.dtype, bool]:
        """The number format to fine-tune in, and whether products are taken in 8 bits.

        They are those of the state that a killed run has left on this kind of device, since its steps were planned by
        their pace. Without one they are measured. If that run multiplied in 8 bits, and this processor does so wrongly,
        they are measured too, and fine-tuning starts from the beginning.
        """
        settings = self._settings
        if settings.minutes == 0:
            return self._dtype, False
        from builder.finetuning.finetune import training_device, training_dtype  # peft takes a second to import

        found = state.load()
        if found is not None and found[0].device == training_device().type:  # one of another device is not resumed
            progress, _ = found
            is_format_known = progress.dtype in (DTYPES if settings.dtype is None else (settings.dtype,))
            if is_format_known and (not progress.is_int8 or multiplies_rightly()):
                return DTYPES[progress.dtype], progress.is_int8
        return self._dtype if settings.dtype is not None else training_dtype(self._dtype), self._is_int8

    def _state_of(self, stage_hash: str) -> StateFile:
        """Also of the manifest of the model that is trained: pruned again, it may have other channels."""
        made = made_at(self._paths.pruned)
        return StateFile(path=self._paths.finetuning_state, stage_hash=hash_of(stage=stage_hash, made=made))

    def _run_export(self, model_hash: str) -> StageRecord:
        return self._stages.run("export", self._bundle_hash(model_hash), self._export, [self._paths.bundle])

    def _bundle_hash(self, model_hash: str) -> str:
        """Also of the model's manifest: the same training run twice gives other weights."""
        made = made_at(self._paths.model)
        return hash_of(version=EXPORT_VERSION, model=model_hash, made=made, quantize=self._settings.quantize)

    def _export(self, advance: OnProgress) -> dict[str, Any]:
        bundle = export_bundle(
            self._paths.model,
            self._paths.bundle,
            ExportSettings(precision=parse_precision(self._settings.quantize)),
            drafts=self._drafts(),
            on_event=self._display.say,
            on_progress=advance,
        )
        if self._left_out:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self._left_out.most_common())
            self._display.say(f"Left out of the bundle's drafts, lines that look like secrets: {kinds}")
        return {"parity": bundle.manifest["parity"], "secret_lines": dict(self._left_out)}

    def _drafts(self) -> Iterator[Sequence[int]]:
        """The token ids of each code file but the held-out ones: a bundle is measured on those.

        Of more than an index takes, files of all folders are left out, not those of the last ones.
        """
        code = [file for file in self._corpus.learned if file.is_code]
        order = sorted(range(len(code)), key=lambda index: cut_order(code[index].path))
        artifact = read_artifact(self._paths.model)
        tokenizer = artifact.tokenizer()
        encoded = within_limit(artifact.token_ids(code[index].text for index in order))
        taken = dict(zip(order, encoded, strict=False))
        return (self._without_secrets(taken[index].tolist(), artifact, tokenizer) for index in sorted(taken))

    def _without_secrets(self, ids: list[int], artifact: SubModel, tokenizer: Tokenizer) -> list[int]:
        """The last net: what the bundle is to hold is read once more as text. Lines that look like secrets go."""
        clean = remove_doubtful(tokenizer.decode(ids, skip_special_tokens=False))
        self._left_out.update(clean.removed_lines)
        return next(artifact.token_ids([clean.text])) if clean.removed_lines else ids
