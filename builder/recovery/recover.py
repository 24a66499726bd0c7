"""Recovery: the pruned model is tuned on the calibration files, in the form that the server sends.

Low-rank factors beside every matrix of the layers are trained (peft), then merged, so that what is saved is a plain
model again. The budget is time: the first steps tell how fast this machine trains, and the schedule is made from that.
Validation files choose the step that is kept; held-out files are never seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import disable_input_dtype_casting
from transformers import PreTrainedModel

from builder.calibration import make_sequences
from builder.corpus.corpus import SourceFile
from builder.errors import CorpusError
from builder.prompt import PromptEncoder
from builder.recovery.fim_tokens import NewRows
from builder.recovery.packed import NAME, packed_nats
from builder.recovery.schedule import learning_rate_at, steps_within, validation_steps
from builder.recovery.settings import RecoverySettings
from builder.recovery.state import Progress, load_state, save_state

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SAVE_EVERY_S = 30.0  # what a kill costs at most; a state is some 100 MB, written in a fraction of a second
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of each factor

Ids = Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """A tuned model, its factors merged, and how it came about."""

    model: PreTrainedModel
    summary: dict[str, Any]


def recover(
    model: PreTrainedModel,
    encoder: PromptEncoder,
    files: Sequence[SourceFile],
    settings: RecoverySettings,
    *,
    state_path: Path,
    key: str,
    new_token_ids: tuple[int, ...] = (),
    on_event: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recovered:
    """Tune `model` (changed in place) on the calibration files of a corpus.

    new_token_ids: tokens whose embeddings are learned too (`builder.recovery.fim_tokens`). A state at `state_path`
    is gone on with where its `key` is the same; the caller removes it once the model is safe. Raises CorpusError where
    the files hold nothing to train or validate on.
    """
    device = training_device()
    parts = {name: [file for file in files if file.split == name] for name in ("calibration", "validation")}
    validation = make_sequences(parts["validation"], encoder, settings.validation_tokens, settings.seed)
    order = _Order(parts["calibration"], encoder, settings)
    if not validation or not order.first:
        raise CorpusError("The repository has no line of code to tune on; add code files, or build with --minutes 0.")
    torch.manual_seed(settings.seed)  # the factors' start
    adapted = get_peft_model(
        model.to(device),
        LoraConfig(
            r=settings.rank,
            lora_alpha=round(settings.rank * settings.scale),
            target_modules=list(TARGETS),
            task_type="CAUSAL_LM",
        ),
    )
    new_rows = NewRows(model.get_input_embeddings(), new_token_ids) if new_token_ids else None
    extra = {"new_rows": new_rows.difference} if new_rows else {}
    middle_id = encoder.middle_id
    run = _Run(adapted, extra, order, validation, middle_id, settings, device, state_path, key, on_event, on_progress)
    run.restore()
    with _packed_and_mixed(adapted, device):
        run.train()
    if new_rows:
        new_rows.merge()
    merged = adapted.merge_and_unload().to("cpu").eval()
    return Recovered(model=merged, summary=run.summary())


def training_device() -> torch.device:
    """A GPU where torch has one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def _packed_and_mixed(model: Any, device: torch.device) -> Iterator[None]:
    """Within the block `model` takes several sequences as one row, and a bf16 model's float32 factors work in bf16.

    Casting each layer's input to float32 and back for the factors alone took a tenth of a step.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    is_mixed = model.dtype is torch.bfloat16 and device.type in ("cpu", "cuda")
    try:
        with (
            disable_input_dtype_casting(model, active=is_mixed),
            # Its cache would keep the factors' first values for as long as the block lasts.
            torch.autocast(device.type, torch.bfloat16, enabled=is_mixed, cache_enabled=False),
        ):
            yield
    finally:
        model.set_attn_implementation(before)


def token_weights(ids: Ids, middle_id: int | None, middle_weight: float) -> torch.Tensor:
    """What each of ids[1:] counts in training, (tokens − 1,): those after the token `middle_id` more."""
    weights = torch.ones(len(ids) - 1)
    if middle_id is not None and middle_id in ids:  # not in plain text
        middle = len(ids) - 1 - list(reversed(ids)).index(middle_id)
        weights[middle:] = middle_weight  # that is ids[middle + 1:]
    return weights


class _Order:
    """The training sequences in their order: each pass over the files draws other cuts."""

    def __init__(self, files: Sequence[SourceFile], encoder: PromptEncoder, settings: RecoverySettings) -> None:
        self._files, self._encoder, self._seed = files, encoder, settings.seed
        self._pass_tokens = sum(len(encoder.text_ids(file.text)) for file in files if file.is_code)
        self._passes: list[tuple[tuple[int, ...], ...]] = []
        self._a_step = settings.sequences_a_step
        self.first = self._pass(0)
        self.most_steps = max(1, len(self.first) * settings.max_passes // self._a_step)

    def _pass(self, number: int) -> tuple[tuple[int, ...], ...]:
        while len(self._passes) <= number:
            seed = self._seed + 1000 * (len(self._passes) + 1)
            self._passes.append(make_sequences(self._files, self._encoder, self._pass_tokens, seed))
        return self._passes[number]

    def batch(self, step: int) -> list[tuple[int, ...]]:
        """The sequences of one step."""
        size = len(self.first)
        chosen = range(step * self._a_step, (step + 1) * self._a_step)
        return [sequences[i % len(sequences)] for i in chosen if (sequences := self._pass(i // size))]


class _Run:
    """One training run; everything that changes is in `progress`, the factors and the optimizer."""

    def __init__(
        self,
        model: Any,
        extra: Mapping[str, torch.nn.Parameter],
        order: _Order,
        validation: Sequence[Ids],
        middle_id: int | None,
        settings: RecoverySettings,
        device: torch.device,
        state_path: Path,
        key: str,
        on_event: Callable[[str], None],
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._model, self._order, self._validation = model, order, validation
        self._middle_id, self._settings, self._device = middle_id, settings, device
        self._state_path, self._key = state_path, key
        self._on_event, self._on_progress = on_event, on_progress
        factors = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._factors = {**factors, **extra}
        groups = [
            {"params": list(factors.values()), "pace": 1.0},
            # A factor's step moves a whole matrix, a row's only itself.
            {"params": list(extra.values()), "pace": settings.new_rows_pace},
        ]
        self._optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=settings.learning_rate, weight_decay=0.0
        )
        self.progress = Progress()
        self._best = self._copy()

    def restore(self) -> None:
        """Go on with the state on disk, where there is one for the same key."""
        found = load_state(self._state_path, self._key)
        if found is None:
            return
        self.progress, groups = found
        self._load(groups["weights"])
        self._best = {name: tensor.to(self._device) for name, tensor in groups["best"].items()}
        for name, factor in self._factors.items():
            moments = {moment: groups["moments"][f"{name}/{moment}"] for moment in MOMENTS}
            self._optimizer.state[factor] = {
                moment: tensor if moment == "step" else tensor.to(self._device) for moment, tensor in moments.items()
            }
        self._on_event(f"Recovery goes on after step {self.progress.step} of {self.progress.total}")

    def train(self) -> None:
        """Steps until the budget is spent or validation stops improving; leaves the best factors in the model."""
        progress, settings = self.progress, self._settings
        if progress.best_loss is None:
            started = time.perf_counter()
            progress.best_loss = self._validate()
            progress.seconds += time.perf_counter() - started
            progress.curve.append(
                {"step": 0, "seconds": progress.seconds, "tokens": 0, "validation": progress.best_loss}
            )
        saved = time.perf_counter()
        while True:
            self._check_if_due()
            if self._is_finished():
                break
            started = time.perf_counter()
            if progress.total is not None and started - saved >= SAVE_EVERY_S:
                self._save()
                saved = started
            progress.losses.append(self._step())
            progress.step += 1
            progress.seconds += time.perf_counter() - started
            if progress.total is None and progress.step == settings.warmup_steps:
                self._plan()
            if progress.total is not None:
                self._on_progress(progress.step, progress.total)
        self._save()
        self._load(self._best)

    def summary(self) -> dict[str, Any]:
        """For the manifest and the report."""
        progress = self.progress
        return {
            "minutes": round(progress.seconds / 60, 2),
            "steps": progress.step,
            "kept_step": progress.best_step,
            "tokens": progress.tokens,
            "tokens_per_s": round(progress.tokens / max(progress.seconds, 1e-9), 1),
            "validation_loss": {"before": progress.curve[0]["validation"], "after": progress.best_loss},
            "curve": progress.curve,
            "settings": self._settings.to_json(),
        }

    def _is_finished(self) -> bool:
        progress = self.progress
        if progress.total is None:
            return False
        worse = [entry for entry in progress.curve if entry["step"] > progress.best_step]
        return progress.step >= progress.total or len(worse) >= self._settings.patience

    def _plan(self) -> None:
        """Fix the number of steps from the time of the first ones; a restart keeps it, whatever the machine does."""
        progress, settings = self.progress, self._settings
        validation = progress.curve[0]["seconds"]
        a_step = (progress.seconds - validation) / progress.step
        left = settings.minutes * 60 - validation * (settings.validations + 1)
        progress.total = steps_within(left, a_step, least=settings.warmup_steps, most=self._order.most_steps)
        rate = progress.tokens / (progress.seconds - validation)
        self._save()
        self._on_event(
            f"Training at {rate:.0f} tokens/s: {progress.total} steps, about {rate * a_step * progress.total:,.0f} "
            f"tokens, in {(a_step * progress.total + validation * settings.validations) / 60:.1f} minutes"
        )

    def _step(self) -> float:
        """One optimizer step; the mean loss of its tokens."""
        batch = self._order.batch(self.progress.step)
        weights = torch.cat([token_weights(ids, self._middle_id, self._settings.middle_weight) for ids in batch])
        rate = learning_rate_at(
            self.progress.step,
            self.progress.total or 10**9,
            peak=self._settings.learning_rate,
            warmup=self._settings.warmup_steps,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        self._model.train()
        nats = packed_nats(self._model, batch, self._device)
        ((nats * weights.to(self._device)).sum() / float(weights.sum())).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._factors.values(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.progress.tokens += len(nats)
        return float(nats.detach().mean())

    @torch.no_grad()
    def _validate(self) -> float:
        self._model.eval()
        size = self._settings.sequences_a_step
        packs = [self._validation[start : start + size] for start in range(0, len(self._validation), size)]
        nats = torch.cat([packed_nats(self._model, pack, self._device) for pack in packs])
        return float(nats.mean())

    def _check_if_due(self) -> None:
        """Validate, keep the best, write the state."""
        progress = self.progress
        if progress.total is None or progress.curve[-1]["step"] == progress.step:
            return
        if progress.step not in validation_steps(progress.total, self._settings.validations):
            return
        started = time.perf_counter()
        loss = self._validate()
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
            self._best = self._copy()
        progress.seconds += time.perf_counter() - started
        progress.curve.append(
            {
                "step": progress.step,
                "seconds": round(progress.seconds, 1),
                "tokens": progress.tokens,
                "validation": loss,
                "training": sum(progress.losses) / len(progress.losses),
            }
        )
        progress.losses.clear()
        self._save()
        self._on_event(
            f"Step {progress.step} of {progress.total}: validation loss {loss:.4f} (before recovery "
            f"{progress.curve[0]['validation']:.4f})"
        )

    def _save(self) -> None:
        moments = {
            f"{name}/{moment}": self._optimizer.state[factor][moment]
            for name, factor in self._factors.items()
            for moment in MOMENTS
        }
        save_state(self._state_path, self._key, self.progress, self._factors, moments, self._best)

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: factor.detach().clone() for name, factor in self._factors.items()}

    def _load(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, factor in self._factors.items():
            factor.data.copy_(tensors[name])
