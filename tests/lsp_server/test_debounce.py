from __future__ import annotations

import pytest

from lsp_server.debounce import PAUSE_S, Debounce
from lsp_server.options import TriggerOptions

OPTIONS = TriggerOptions(debounce_min_ms=40, debounce_max_ms=150)
URI = "file:///a.py"


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def typed(gap_s: float, keys: int = 20) -> tuple[Debounce, Clock]:
    clock = Clock()
    debounce = Debounce(clock)
    for _ in range(keys):
        clock.time += gap_s
        debounce.note_edit(URI)
    return debounce, clock


@pytest.mark.parametrize(
    ("gap_s", "wait_s"),
    [
        (0.02, 0.040),  # never under the minimum
        (0.08, 0.104),  # 1.3 gaps
        (0.3, 0.150),  # never over the maximum
    ],
)
def test_waits_by_the_speed_of_typing(gap_s: float, wait_s: float) -> None:
    debounce, _ = typed(gap_s)
    assert debounce.wait_s(URI, OPTIONS) == pytest.approx(wait_s)


def test_the_first_key_after_a_pause_does_not_wait_and_the_second_does() -> None:
    debounce, clock = typed(0.08)
    clock.time += PAUSE_S + 0.01
    debounce.note_edit(URI)
    assert debounce.wait_s(URI, OPTIONS) == 0.0
    assert debounce.wait_s(URI, OPTIONS, factor=2) == pytest.approx(0.208), "on battery it does"
    clock.time += 0.08
    debounce.note_edit(URI)
    assert debounce.wait_s(URI, OPTIONS) == pytest.approx(0.104)


def test_a_new_user_waits_the_minimum() -> None:
    assert Debounce(Clock()).wait_s(URI, OPTIONS) == pytest.approx(0.040)


def test_edits_of_another_document_are_no_keystrokes_of_this_one() -> None:
    """A log grows while the user types."""
    debounce, clock = typed(0.08)
    for _ in range(3):
        clock.time += 0.02
        debounce.note_edit("file:///app.log")
    clock.time += 0.02
    debounce.note_edit(URI)
    assert debounce.wait_s(URI, OPTIONS) == pytest.approx(0.104)
    clock.time += PAUSE_S - 0.01
    debounce.note_edit("file:///app.log")
    clock.time += 0.02
    debounce.note_edit(URI)
    assert debounce.wait_s(URI, OPTIONS) == 0.0, "the user has paused"


def test_time_since_the_last_key_counts() -> None:
    debounce, clock = typed(0.08)
    clock.time += 0.1
    assert debounce.wait_s(URI, OPTIONS) == pytest.approx(0.004)
    clock.time += PAUSE_S
    assert debounce.wait_s(URI, OPTIONS) == pytest.approx(0.040)


def test_factor_lengthens_the_wait() -> None:
    debounce, _ = typed(0.08)
    assert debounce.wait_s(URI, OPTIONS, factor=2) == pytest.approx(0.208)
