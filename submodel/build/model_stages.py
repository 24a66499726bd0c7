"""The stages that make models: prune, fine-tune, export. Each runs once for the same inputs (`Stages`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
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
from builder.learning_examples import IsNew
from builder.memory import keep_to_machine, peak_rss_bytes
from builder.number_format import DTYPES, fastest_dtype
from builder.pruning.structured_pruning import prune
from contract.bundle.bundle import read_bundle
from contract.bundle.drafts import within_limit
from contract.bundle.manifest import MANIFEST_FILE, build_of
from contract.bundle.trusted_builds import check_trusted
from contract.console import StageDisplay
from contract.documents import FineTuningFacts, PlanFacts
from contract.errors import BundleError
from contract.files.state_folder import StateFolderError
from contract.files.untrusted_json import read_json
from contract.progress import OnProgress
from contract.prompt import PromptEncoder, PromptFormat
from contract.repository.secrets import remove_doubtful
from contract.repository.texts import cut_order
from contract.versions import EXPORT_VERSION, PIPELINE_VERSION
from exporters.adapter_export import SharedModel
from exporters.bundle_export import export_bundle
from exporters.export_settings import ExportSettings
from exporters.precision import VARIANT_FILES, Precision, parse_precision
from submodel.build.build_settings import BuildSettings
from submodel.build.history import drop_next_history, made_at
from submodel.build.paths import BuildPaths
from submodel.build.score_stages import ScoreStages
from submodel.build.stages import StageRecord, Stages, hash_of
from submodel.evaluation.predictors import open_checkpoint

VOCABULARY_FITS = 1.1  # at most so many times as many tokens as for the code that it was trimmed for


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a fine-tuning came to. read: the paths that its kept steps have read from. tried: those of all its steps."""

    summary: FineTuningFacts
    read: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class SharedStart:
    """The sub-model that a model began with.

    made: the SHA-256 of its manifest as it was then; None if that is read now, or is not known. trainings: how many
    fine-tunings there were since, with this one.
    """

    folder: Path
    made: str | None = None
    trainings: int = 1


class ModelStages:
    """What the stages of one build share, and the stages that make its models.

    `submodel.build.pipeline` has their order; an update (`submodel.build.update_run`) has another one, and no base.
    """

    def __init__(
        self,
        settings: BuildSettings,
        display: StageDisplay,
        corpus: Corpus,
        sources: Mapping[str, Any],
        base: ResolvedBase | None,
    ) -> None:
        keep_to_machine()
        self._settings = settings
        self._display = display
        self._corpus = corpus
        self._sources = sources  # of a language: its name and packages
        self._found_base = base
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

    @property
    def _base(self) -> ResolvedBase:
        assert self._found_base is not None
        return self._found_base

    def _model_at(self, size: float, paths: BuildPaths, suffix: str = "") -> tuple[StageRecord, StageRecord, str]:
        """The stages that make the sub-model of one size in `paths`: pruned, fine-tuned, and the result's stage hash.

        A fine-tuned model learns to be asked otherwise than the base (`PromptFormat.as_taught`).
        """
        pruned_hash, stage_hash = self._hashes_at(size)
        make = partial(self._prune, size, paths)
        pruned = self._stages.run(f"prune{suffix}", pruned_hash, make, [paths.pruned])

        def tune(advance: OnProgress) -> FineTuningFacts:
            return self._finetune(stage_hash, paths, PromptFormat.as_taught, advance).summary

        finetuned = self._run_finetuning(f"finetune{suffix}", stage_hash, tune, paths)
        return pruned, finetuned, stage_hash

    def _hashes_at(self, size: float) -> tuple[str, str]:
        """The stage hashes of the pruned and of the fine-tuned model of one size."""
        prune = self._settings.prune_to(size).to_json()
        # "keeps_order" is of earlier versions: without it their models would be made again.
        taught = {"is_taught": self._settings.minutes > 0, "keeps_order": False}
        pruned_hash = hash_of(**self._inputs, prune=prune, **taught)
        return pruned_hash, hash_of(pruned=pruned_hash, finetuning=self._settings.finetuning.to_json())

    def _prune(self, size: float, paths: BuildPaths, advance: OnProgress) -> dict[str, Any]:
        base, settings = self._load_base(), self._settings.prune_to(size)
        started = time.perf_counter()
        prompt = base.prompt
        to_be = prompt.as_taught() if self._settings.minutes > 0 else prompt
        is_int8 = self._settings.dtype is None and self._is_int8  # a fleet's builds are to prune alike on all machines
        pruned = prune(base.model, base.tokenizer, to_be, self._corpus, settings, is_int8=is_int8, on_layer=advance)
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
                "products": "int8" if is_int8 else str(self._dtype).removeprefix("torch."),
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

    def _finetune(
        self,
        stage_hash: str,
        paths: BuildPaths,
        taught: Callable[[PromptFormat], PromptFormat],
        advance: OnProgress,
        *,
        fresh: frozenset[str] = frozenset(),
        waiting: frozenset[str] = frozenset(),
        is_new: IsNew | None = None,
    ) -> Learned:
        """Fine-tune the model of `paths.start` and save it. `taught` makes the format to teach of the model's own.

        fresh: paths that are learned from first. waiting: paths that no step reads. is_new: which lines of fresh files.
        """
        settings, source = self._settings.finetuning, read_artifact(paths.start)
        self._loaded = None  # the base of a kept stage: it would stay in memory beside the model
        state = self._state_of(stage_hash, paths)
        dtype, is_int8 = self._format_of(state)
        predictor = open_checkpoint("pruned", source, dtype)
        model, before = predictor.model, predictor.encoder
        encoder = PromptEncoder(before.tokenizer, taught(before.prompt_format))
        started = time.perf_counter()
        learned = Learned(summary={"minutes": 0.0})
        if settings.minutes > 0:
            from builder.finetuning.finetune import finetune  # peft takes a second to import

            tuned = finetune(
                model,
                encoder,
                [file for file in self._corpus.files if file.path not in waiting],
                settings,
                state=state,
                fresh=fresh,
                is_new=is_new,
                is_int8=is_int8,
                cpu_dtype=self._dtype,
                on_event=self._display.say,
                on_progress=advance,
            )
            model, learned = tuned.model, Learned(summary=tuned.summary, read=tuned.read, tried=tuned.tried)
            advance(0, 0)  # it may stand still here
        stage = {"name": "finetune", "seconds": round(time.perf_counter() - started, 2)}
        known = source.manifest or {}
        peaks = (known.get("peak_rss_bytes"), peak_rss_bytes())  # another run may have pruned
        facts = {
            "finetuning": learned.summary,
            "stages": [*known["stages"], stage],
            "peak_rss_bytes": max(filter(None, peaks), default=None),
        }
        facts |= self._provenance(learned)
        has_learned = learned.summary.get("kept_step", 0) > 0
        drop_next_history(self._paths.stages)  # what an update has left half done would take the place of this model
        save_reweighted(paths.result, source, model, encoder if has_learned else before, self._parity_examples, facts)
        advance(0, 0)
        return learned

    def _provenance(self, learned: Learned) -> dict[str, Any]:
        """What the model's manifest says of what it has read."""
        return self._corpus.provenance()

    def _run_finetuning(
        self, name: str, stage_hash: str, make: Callable[[OnProgress], Mapping[str, Any]], paths: BuildPaths
    ) -> StageRecord:
        """Run a stage that trains. Its state is removed once its record is written, and only its own."""
        record = self._stages.run(name, stage_hash, make, [paths.result])
        if record.is_fresh:
            self._state_of(stage_hash, paths).remove()
        return record

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

    def _state_of(self, stage_hash: str, paths: BuildPaths) -> StateFile:
        """Also of the manifest of the model that is trained: pruned again, it may have other channels."""
        made = made_at(paths.start)
        return StateFile(path=self._paths.finetuning_state, stage_hash=hash_of(stage=stage_hash, made=made))

    def _bundle_hash(self, model_hash: str, paths: BuildPaths) -> str:
        """Also of the model's manifest: the same training run twice gives other weights."""
        shared = {} if self._shared is None else {"shared": self._shared.bundle.build}
        made = made_at(paths.result)
        quantize = self._settings.quantize
        return hash_of(version=EXPORT_VERSION, model=model_hash, made=made, quantize=quantize, **shared)

    def _export(self, paths: BuildPaths, advance: OnProgress) -> dict[str, Any]:
        bundle = export_bundle(
            paths.result,
            paths.bundle,
            self._export_settings,
            drafts=self._drafts(paths),
            shared=self._shared,
            variants=variants_of(paths.bundle),  # as the new one is to have them
            on_event=self._display.say,
            on_progress=advance,
        )
        if self._left_out:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self._left_out.most_common())
            self._display.say(f"Left out of the bundle's drafts, lines that look like secrets: {kinds}")
        return {"parity": bundle.manifest["parity"], "secret_lines": dict(self._left_out)}

    @property
    def _shared_start(self) -> SharedStart | None:
        """The sub-model that this one began with."""
        base = self._found_base
        return SharedStart(folder=base.path.resolve()) if base is not None and base.is_sub_model else None

    @cached_property
    def _shared(self) -> SharedModel | None:
        """That sub-model, if its bundle in int8 lies beside it, as builds leave both; else says why not."""
        start = self._shared_start
        if start is None:
            return None
        folder = start.folder
        whole = "so the bundle holds a whole graph, not an adapter"
        if not folder.is_dir():
            self._display.say(f"The shared start {folder} is gone, {whole}.")
            return None
        if start.made is not None and made_at(folder) != start.made:
            self._display.say(f"The shared start {folder} is another one since this repository's build, {whole}.")
            return None
        beside = BuildPaths(root=folder.parent).bundle
        try:
            check_trusted(beside, build_of(beside))
            bundle = read_bundle(beside)
        except (BundleError, StateFolderError) as error:
            self._display.say(f"No bundle of the shared start can be used, {whole}: {error}")
            return None
        if bundle.manifest.get("quantization") != Precision.INT8:
            self._display.say(f"The bundle {beside} is not in int8, {whole}.")
            return None
        return SharedModel(folder=folder, bundle=bundle, rank=self._settings.finetuning.rank * start.trainings)

    @property
    def _export_settings(self) -> ExportSettings:
        return ExportSettings(precision=parse_precision(self._settings.quantize))

    def _drafts(self, paths: BuildPaths) -> Iterator[Sequence[int]]:
        """The token ids of each code file but the held-out ones: a bundle is measured on those.

        Of more than an index takes, files of all folders are left out, not those of the last ones.
        """
        code = [file for file in self._corpus.learned if file.is_code]
        order = sorted(range(len(code)), key=lambda index: cut_order(code[index].path))
        artifact = read_artifact(paths.result)
        tokenizer = artifact.tokenizer()
        encoded = within_limit(artifact.token_ids(code[index].text for index in order))
        taken = dict(zip(order, encoded, strict=False))
        return (self._without_secrets(taken[index].tolist(), artifact, tokenizer) for index in sorted(taken))

    def _without_secrets(self, ids: list[int], artifact: SubModel, tokenizer: Tokenizer) -> list[int]:
        """The last net: what the bundle is to hold is read once more as text. Lines that look like secrets go."""
        clean = remove_doubtful(tokenizer.decode(ids, skip_special_tokens=False))
        self._left_out.update(clean.removed_lines)
        return next(artifact.token_ids([clean.text])) if clean.removed_lines else ids


def variants_of(bundle: Path) -> tuple[Precision, ...]:
    """Return the precisions that `submodel export --add` has put into a bundle; none if its manifest can't be read.

    The bundle may be damaged, or of a version with another schema.
    """
    try:
        document = read_json(bundle / MANIFEST_FILE)
    except (OSError, ValueError):
        return ()
    found = document.get("variants") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        return ()
    return tuple({VARIANT_FILES[one]: one for one in VARIANT_FILES if one in found}.values())  # one for each file
