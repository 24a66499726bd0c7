"""Which precision a machine gets: the fastest keystroke within the memory that is stated."""

from __future__ import annotations

import pytest

from contract.errors import ExportError
from exporters.auto_precision import MEMORY_LIMIT, Speed, Trial, choose_fastest
from exporters.precision import Precision

PARAMETERS = 1000


def trial(precision: Precision, prompt: float, step_ms: float, memory: float = 1.0) -> Trial:
    speed = Speed(prompt_tokens_per_s=prompt, step_ms=step_ms, memory_bytes=round(memory * PARAMETERS))
    return Trial(precision=precision, parity=None, speed=speed)


def test_a_keystroke_reads_and_writes() -> None:
    assert trial(Precision.INT8, 640, 10).speed.keystroke_ms == pytest.approx(100 + 80)


def test_reading_and_writing_are_weighed_against_each_other() -> None:
    slow_writer, slow_reader = trial(Precision.INT8, 1600, 10), trial(Precision.INT4, 800, 6)
    assert choose_fastest([slow_writer, slow_reader], PARAMETERS).precision is Precision.INT8
    slow_reader = trial(Precision.INT4, 800, 4)
    assert choose_fastest([slow_writer, slow_reader], PARAMETERS).precision is Precision.INT4


def test_what_takes_too_much_memory_is_passed_over_unless_all_do() -> None:
    fast, slow = trial(Precision.INT8_WEIGHTS, 900, 1, MEMORY_LIMIT + 2), trial(Precision.INT8, 900, 9)
    assert choose_fastest([fast, slow], PARAMETERS) is slow
    bigger = trial(Precision.INT8, 900, 9, MEMORY_LIMIT + 3)
    assert choose_fastest([fast, bigger], PARAMETERS) is fast


def test_none_that_answers_well_is_said_with_the_reasons() -> None:
    refused = Trial(precision=Precision.INT4, parity=None, refusal="it loses too much")
    with pytest.raises(ExportError, match="int4: it loses too much"):
        choose_fastest([refused], PARAMETERS)
    assert refused.to_json() == {"precision": "int4", "refusal": "it loses too much"}
