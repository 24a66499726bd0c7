from __future__ import annotations

import pytest

from lsp_server import battery
from lsp_server.battery import Power
from lsp_server.options import CareOptions, ServerOptions
from lsp_server.policy import Policy, choose_policy, choose_threads, options_on

CARE = CareOptions(on_battery="saving")


@pytest.mark.parametrize(
    ("power", "policy"),
    [
        (Power(), Policy.FULL),
        (Power(on_battery=False, battery_percent=5), Policy.FULL),
        (Power(on_battery=True), Policy.SAVING),
        (Power(on_battery=True, battery_percent=80), Policy.SAVING),
        (Power(on_battery=True, battery_percent=20), Policy.SAVING),
        (Power(on_battery=True, battery_percent=19), Policy.OFF),
    ],
)
def test_policy(power: Power, policy: Policy) -> None:
    chosen, reason = choose_policy(power, CARE)
    assert chosen is policy
    assert bool(reason) == (policy is not Policy.FULL)


@pytest.mark.parametrize(("on_battery", "policy"), [("full", Policy.FULL), ("off", Policy.OFF)])
def test_the_user_picks_what_battery_means(on_battery: str, policy: Policy) -> None:
    care = CareOptions(on_battery=on_battery)
    for percent in (50, 9):
        assert choose_policy(Power(on_battery=True, battery_percent=percent), care)[0] is policy


@pytest.mark.parametrize(
    ("power", "threads", "on_battery", "expected"),
    [
        (Power(on_battery=True), 6, "saving", 3),
        (Power(on_battery=True), 1, "saving", 1),
        (Power(on_battery=True), 6, "full", 6),
        (Power(on_battery=True), None, "full", None),
        (Power(on_battery=False), 6, "saving", 6),
    ],
)
def test_on_battery_half_of_the_cores_that_the_user_allows_are_used(
    power: Power, threads: int | None, on_battery: str, expected: int | None
) -> None:
    options = ServerOptions(threads=threads, care=CareOptions(on_battery=on_battery))
    assert choose_threads(power, options) == expected


@pytest.mark.parametrize(("policy", "is_multi_line"), [(Policy.FULL, True), (Policy.SAVING, False), (Policy.OFF, True)])
def test_only_while_it_saves_an_answer_has_one_line(policy: Policy, is_multi_line: bool) -> None:
    """With a low battery only what is asked for by hand is answered, as ever."""
    assert options_on(policy, ServerOptions()).trigger.multi_line is is_multi_line


def test_the_cores_are_counted_once_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[None] = []
    monkeypatch.setattr(battery, "default_threads", lambda: counted.append(None) or 8)
    reading = Power(on_battery=True)
    assert [choose_threads(reading, ServerOptions()) for _ in range(3)] == [4, 4, 4]
    assert len(counted) == 1
