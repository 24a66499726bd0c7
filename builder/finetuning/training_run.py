"""One training run within its budget: steps, validation, the best factors, and a state to go on from."""

from __future__ import annotations

import bisect
import itertools
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

from builder.batches import in_batches
from builder.finetuning.finetune_settings import FinetuneSettings
from builder.finetuning.packed import packed_nats
from builder.finetuning.schedule import learning_rate_at, steps_within, validation_steps
from builder.finetuning.training_data import Material
from builder.finetuning.training_state import StateFile, Tensors, TrainingProgress
from contract.documents import FineTuningFacts
from contract.progress import OnEvent, OnProgress

SAVE_EVERY_S = 30.0  # between two states of some 100 MB; a kill before the first costs all steps so far
STEPS_A_VALIDATION = 40  # at least; a step takes one to four seconds on two cores
PASS_TOKENS = 900  # of validation, or a few more, that are in memory at once
TIMING_SHARE, LEAST_TIMED = 0.2, 2  # the plan is made after so much of the minutes, or after the warm-up's steps
MOST_SLOWER = 1.25  # the mean pace beside the median: more is a process that stood still
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of each factor


class TrainingRun:
    """One training run; everything that changes is in `progress`, the factors and the optimizer."""

    def __init__(
        self,
        model: Any,
        material: Material,
        settings: FinetuneSettings,
        state: StateFile,
        is_int8: bool,
        on_event: OnEvent,
        on_progress: OnProgress,
    ) -> None:
        self._model, self._material, self._settings, self._state = model, material, settings, state
        self._device = model.device
        self._on_event, self._on_progress = on_event, on_progress
        self._factors = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(list(self._factors.values()), lr=settings.learning_rate, weight_decay=0.0)
        dtype = str(model.dtype).removeprefix("torch.")
        self.progress = TrainingProgress(device=self._device.type, dtype=dtype, is_int8=is_int8)
        self._best = self._copy()
        # What the plan is made of: seconds a pass of the first validation, seconds a token and tokens of each step.
        self._pass_seconds: list[float] = []
        self._last_validation_s = 0.0
        self._step_paces: list[tuple[float, int]] = []
        self._timed = 0  # the steps that the first plan was made from
        self._saved_at = 0.0

    def restore(self) -> None:
        """Go on with the state on disk, if there is one of the same stage hash, factors, device and number format."""
        found = self._state.load()
        if found is None or not self._fits(*found):
            return
        self.progress, groups = found
        self._load(groups["weights"])
        if self.progress.best_step:
            self._best = {name: tensor.to(self._device) for name, tensor in groups["best"].items()}
        for name, factor in self._factors.items():
            moments = {moment: groups["moments"][f"{name}/{moment}"] for moment in MOMENTS}
            self._optimizer.state[factor] = {
                moment: tensor if moment == "step" else tensor.to(self._device) for moment, tensor in moments.items()
            }
        self._on_event(f"Fine-tuning goes on after step {self.progress.step} of {self.progress.total}")

    def _fits(self, progress: TrainingProgress, groups: Mapping[str, Tensors]) -> bool:
        """Whether a state is of this device and number format, its tensors of this model's names and shapes.

        Of another device or format the steps were planned by another pace. Another version of peft may name or shape
        its factors otherwise.
        """
        own = self.progress
        if (progress.device, progress.dtype, progress.is_int8) != (own.device, own.dtype, own.is_int8):
            return False
        factors = {name: factor.shape for name, factor in self._factors.items()}
        moments = {
            f"{name}/{moment}": torch.Size() if moment == "step" else shape
            for name, shape in factors.items()
            for moment in MOMENTS
        }
        wanted = {"weights": factors, "best": factors if progress.best_step else {}, "moments": moments}
        return wanted == {group: {name: one.shape for name, one in part.items()} for group, part in groups.items()}

    def train(self) -> None:
        """Steps until the budget is spent or validation stops improving; leaves the best factors in the model."""
        progress, settings = self.progress, self._settings
        if settings.steps is not None and progress.total is None:
            progress.total = self._steps_up_to(settings.steps)
        if progress.best_loss is None:
            started = time.perf_counter()
            progress.best_loss = self._validate()
            progress.seconds += time.perf_counter() - started
            progress.curve.append(
                {"step": 0, "seconds": progress.seconds, "tokens": 0, "validation": progress.best_loss}
            )
        if progress.total is None:
            few = self._steps_up_to(settings.warmup_steps + 1)
            progress.total = few if few <= settings.warmup_steps else None  # or the rate would only rise
        self._saved_at = time.perf_counter()
        while True:
            self._check_if_due()
            if self._is_finished():
                break
            started, before = time.perf_counter(), progress.tokens
            if progress.total is not None and progress.step and started - self._saved_at >= SAVE_EVERY_S:
                self._save()
            progress.losses.append(self._step())
            progress.step += 1
            seconds = time.perf_counter() - started
            progress.seconds += seconds
            tokens = progress.tokens - before
            self._step_paces.append((seconds / max(tokens, 1), tokens))
            if progress.total is None and self._is_timed():
                self._timed = len(self._step_paces)
                self._plan()
                self._save()
                self._announce()
            elif self._is_half_done():
                self._plan()
            self._report()
        self._load(self._best)

    def _steps_up_to(self, most: int) -> int:
        """How many steps the material has, `most` at most."""
        return sum(1 for _ in itertools.islice(self._material.steps_from(0), most))

    def summary(self) -> FineTuningFacts:
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
        progress, settings = self.progress, self._settings
        if progress.total is None:
            return False
        worse = [entry for entry in progress.curve if entry["step"] > progress.best_step]
        return progress.step >= progress.total or len(worse) >= max(settings.least_patience, self._validations // 3)

    @property
    def _validations(self) -> int:
        """How often the model is validated: fewer times where the passes end long before the minutes."""
        settings, total = self._settings, self.progress.total or 0
        return min(settings.validations, max(settings.least_validations, total // STEPS_A_VALIDATION))

    def _is_timed(self) -> bool:
        """Whether enough steps were timed for a plan: those of the warm-up, or fewer where steps take long."""
        progress, settings = self.progress, self._settings
        is_late = progress.seconds >= TIMING_SHARE * settings.minutes * 60
        return progress.step >= settings.warmup_steps or (is_late and progress.step >= LEAST_TIMED)

    def _warmup_steps(self) -> int:
        """How many steps the rate rises. Of a short run a quarter: else it would end before the rate has fallen."""
        steps, total = self._settings.warmup_steps, self.progress.total
        return steps if total is None else min(steps, max(1, total // 4))

    def _is_half_done(self) -> bool:
        """Whether half of a planned run's steps are done, all of them by this process."""
        progress = self.progress
        if self._settings.steps is not None or progress.total is None:
            return False
        return progress.step == progress.total // 2 and progress.step == len(self._step_paces)

    def _plan(self) -> None:
        """Fix the number of steps from the times and tokens of those that were timed, and the tokens of those to come.

        At first medians, since what runs for the first time takes longer: a plan by means left a tenth of the minutes
        unused. A restart keeps the number, whatever the machine does.
        """
        settings = self._settings
        for validations in range(settings.least_validations, settings.validations + 1):
            self.progress.total = self._steps_beside(validations)
            if self._validations <= validations:  # fewer steps are validated fewer times
                break

    def _steps_beside(self, validations: int) -> int:
        """How many steps fit into the minutes beside so many validations, those that are done among them."""
        progress, settings = self.progress, self._settings
        pace = self._pace()
        a_validation = self._validation_s()
        done, budget = len(progress.curve), settings.minutes * 60  # the first validation is that before all steps
        to_come = (validations + 1 - done) * a_validation
        # A process that was stopped for a while takes a tenth of the budget at most.
        used = min(progress.seconds, pace * progress.tokens + done * a_validation + budget / 10)
        steps = (pace * self._tokens_of(step) for step in self._material.steps_from(progress.step))
        least = max(0, settings.warmup_steps - progress.step)
        return progress.step + steps_within(budget - used - to_come, steps, least=least)

    def _pace(self) -> float:
        """Seconds a token: the median by tokens, and once steps have followed the first plan, their mean.

        The tokens of short windows take longer, which a median leaves out: with it alone runs took up to a twelfth
        more.
        """
        paces = sorted(self._step_paces)
        tokens = list(itertools.accumulate(tokens for _, tokens in paces))
        middle = paces[bisect.bisect_left(tokens, tokens[-1] / 2)][0]
        since = self._step_paces[self._timed :] if self._timed else []
        if not since:
            return middle
        mean = sum(pace * count for pace, count in since) / sum(count for _, count in since)
        return min(mean, MOST_SLOWER * middle)

    def _validation_s(self) -> float:
        """The time of a validation: that of the last one, if it was not the first."""
        return self._last_validation_s or median(self._pass_seconds) * len(self._pass_seconds)

    def _tokens_of(self, step: int) -> int:
        return len(self._material.example(step).ids) - 1

    def _announce(self) -> None:
        """Say how many steps are planned, and how long they are expected to take."""
        progress, pace = self.progress, self._pace()
        assert progress.total is not None
        tokens = sum(map(self._tokens_of, range(progress.step, progress.total)))
        validations = self._validations * self._validation_s()
        self._on_event(
            f"Training at {1 / pace:.0f} tokens/s: {progress.total} steps, about {progress.tokens + tokens:,.0f} "
            f"tokens, in {(progress.seconds + tokens * pace + validations) / 60:.1f} minutes"
        )

    def _step(self) -> float:
        """One optimizer step; the mean loss of its tokens by their weights."""
        example = self._material.example(self.progress.step)
        rate = learning_rate_at(
            self.progress.step,
            self.progress.total or 10**9,
            peak=self._settings.learning_rate,
            warmup=self._warmup_steps(),
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._model.train()
        weights = self._material.weights([example]).to(self._device)
        nats = packed_nats(self._model, [example.ids], self._device)
        loss = (nats * weights).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._factors.values(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.progress.tokens += len(nats)
        return float(loss.detach())

    def _validate(self) -> float:
        self._model.eval()
        started = time.perf_counter()

        def note_pass() -> None:
            nonlocal started
            if self.progress.total is None:
                self._pass_seconds.append(time.perf_counter() - started)
            self._report()
            started = time.perf_counter()

        return validation_loss(self._model, self._material, on_pass=note_pass)

    def _report(self) -> None:
        """Say how far it is; before the plan is made nobody knows."""
        progress = self.progress
        self._on_progress(*((0, 0) if progress.total is None else (progress.step, progress.total)))

    def _check_if_due(self) -> None:
        """Validate, keep the best, write the state."""
        progress = self.progress
        if progress.total is None or progress.curve[-1]["step"] == progress.step:
            return
        if progress.step not in validation_steps(progress.total, self._validations):
            return
        started = time.perf_counter()
        loss = self._validate()
        self._last_validation_s = time.perf_counter() - started
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
            f"Step {progress.step} of {progress.total}: validation loss {loss:.4f} (before fine-tuning "
            f"{progress.curve[0]['validation']:.4f})"
        )

    def _save(self) -> None:
        self._saved_at = time.perf_counter()
        moments = {
            f"{name}/{moment}": self._optimizer.state[factor][moment]
            for name, factor in self._factors.items()
            for moment in MOMENTS
        }
        # Until a validation has set it, the best are the factors that each run begins with.
        self._state.save(self.progress, self._factors, moments, self._best if self.progress.best_step else {})

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: factor.detach().clone() for name, factor in self._factors.items()}

    def _load(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, factor in self._factors.items():
            factor.data.copy_(tensors[name])


@torch.no_grad()
def validation_loss(model: Any, material: Material, *, on_pass: Callable[[], None]) -> float:
    """The mean loss of the validation's tokens, each weighted as training weighs it: in nats.

    `model` attends as `packed_nats` asks. on_pass is called after each batch of some PASS_TOKENS tokens.
    """
    total, weight = 0.0, 0.0
    for batch in in_batches(material.validation, PASS_TOKENS, lambda one: len(one.ids)):
        nats = packed_nats(model, [example.ids for example in batch], model.device).cpu()  # waits for a GPU
        on_pass()
        weights = material.weights(batch)
        total, weight = total + float((nats * weights).sum()), weight + float(weights.sum())
    return total / weight
