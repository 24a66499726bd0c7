"""`--quantize auto`: times every precision that passes the parity check on this machine, and takes the fastest.

Which precision is fastest differs by processor (docs/LOG.md). With AMX int8 is fastest throughout; without it int4 may
decode faster than int8, and read prompts slower.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from contract.documents import PrecisionTrial
from contract.errors import ExportError
from exporters.parity import DecodeSession, ParityReport
from exporters.precision import Precision

PROMPT_TOKENS = 256
STEPS = 12
ROUNDS = 3
# A keystroke, as it is in a replay of held-out files: the tokens that no cache holds, and those of the answer.
READ_A_KEYSTROKE, WRITTEN_A_KEYSTROKE = 64, 8
MEMORY_LIMIT = 2.0  # bytes a parameter in memory: eight bits with what ONNX Runtime packs beside them, never float32


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed and memory of one session on this machine."""

    prompt_tokens_per_s: float
    step_ms: float
    memory_bytes: int  # by which the process grew when the session was opened

    @property
    def keystroke_ms(self) -> float:
        """What a suggestion takes, its drafts aside."""
        return 1000 * READ_A_KEYSTROKE / self.prompt_tokens_per_s + WRITTEN_A_KEYSTROKE * self.step_ms


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A precision that was tried; `speed` is None if its answers were not good enough to be timed."""

    precision: Precision
    parity: ParityReport | None
    speed: Speed | None = None
    refusal: str | None = None

    def to_json(self) -> PrecisionTrial:
        """Return the trial as it stands in bundle.json."""
        reported: PrecisionTrial = {"precision": str(self.precision)}
        if self.parity is not None:
            reported["greedy_agreement"] = self.parity.greedy_agreement
            reported["loss_increase"] = self.parity.loss_increase
        if self.speed is not None:
            reported["prompt_tokens_per_s"] = self.speed.prompt_tokens_per_s
            reported["step_ms"] = self.speed.step_ms
            reported["memory_bytes"] = self.speed.memory_bytes
            reported["keystroke_ms"] = round(self.speed.keystroke_ms, 2)
        if self.refusal:
            reported["refusal"] = self.refusal
        return reported


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def measure_speed(session: DecodeSession, ids: Sequence[int], memory_bytes: int) -> Speed:
    """Measure median times of prompts and of steps after a short past. ids: any tokens, at least two."""
    prompt = [ids[i % len(ids)] for i in range(PROMPT_TOKENS)]
    prompts, steps = [], []
    session.run(prompt, session.empty_past(), keep=1)  # the first run makes room
    for _ in range(ROUNDS):
        started = time.perf_counter()
        session.run(prompt, session.empty_past(), keep=1)
        prompts.append(time.perf_counter() - started)
    # Short: this session copies its past at each step, which the engine does not.
    _, past = session.run(prompt[:16], session.empty_past(), keep=1)
    for token in prompt[:STEPS]:
        started = time.perf_counter()
        _, past = session.run([token], past, keep=1)
        steps.append(time.perf_counter() - started)
    return Speed(
        prompt_tokens_per_s=round(PROMPT_TOKENS / median(prompts), 1),
        step_ms=round(1000 * median(steps), 2),
        memory_bytes=memory_bytes,
    )


def choose_fastest(trials: Sequence[Trial], parameters: int) -> Trial:
    """Return the trial with the fastest keystroke within MEMORY_LIMIT; if none is within it, the smallest in memory.

    Raises ExportError if no precision's answers were good enough.
    """
    timed = [(trial, trial.speed) for trial in trials if trial.speed is not None]
    if not timed:
        reported = "; ".join(f"{trial.precision}: {trial.refusal}" for trial in trials)
        raise ExportError(
            f"No precision answers as the checkpoint does ({reported}); run it again with --quantize fp32."
        )
    fitting = [pair for pair in timed if pair[1].memory_bytes <= MEMORY_LIMIT * parameters]
    if not fitting:
        return min(timed, key=lambda pair: pair[1].memory_bytes)[0]
    return min(fitting, key=lambda pair: pair[1].keystroke_ms)[0]
