"""Training runs whose end is known: their length and their verdict depend on no clock and on no chance."""

from __future__ import annotations

import pytest

from builder.finetuning.training_run import TrainingRun


def plan_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training run reads each file once, in some twenty steps, however busy the machine is."""

    def plan(run: TrainingRun) -> None:
        run.progress.total = max(run.progress.step, len(run._material._pass(0).all()))

    monkeypatch.setattr(TrainingRun, "_plan", plan)


def always_better(monkeypatch: pytest.MonkeyPatch, is_better: bool = True) -> None:
    """A random model need not get better within one pass: the validation says so in its place."""
    losses = iter(range(1000, 0, -1) if is_better else range(1000))
    measure = TrainingRun._validate

    def judge(run: TrainingRun) -> float:
        measure(run)
        return float(next(losses))

    monkeypatch.setattr(TrainingRun, "_validate", judge)
