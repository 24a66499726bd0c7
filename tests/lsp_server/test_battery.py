from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lsp_server import battery
from lsp_server.battery import (
    READ_EVERY_S,
    Policy,
    Power,
    PowerMeter,
    choose_policy,
    choose_threads,
    options_on,
    read_power,
)
from lsp_server.options import CareOptions, ServerOptions


def test_a_request_does_not_wait_until_the_machine_is_read() -> None:
    now, jobs, readings = 0.0, [], iter([Power(on_battery=False), Power(on_battery=True)])
    meter = PowerMeter(lambda: now, lambda: next(readings), jobs.append)
    assert meter.power == Power(on_battery=False), "the first reading, as the server starts"
    assert jobs == []
    now += READ_EVERY_S
    assert meter.power == meter.power == Power(on_battery=False)
    (job,) = jobs
    job()
    assert meter.power == Power(on_battery=True)
    assert "cores" in vars(meter.power), "they are counted already"
    assert len(jobs) == 1


def test_a_reading_beside_comes_to_an_end() -> None:
    now, readings = 0.0, iter([Power(on_battery=False), Power(on_battery=True)])
    meter = PowerMeter(lambda: now, lambda: next(readings))
    assert meter.power == Power(on_battery=False)
    now += READ_EVERY_S
    until = time.monotonic() + 60
    while not meter.power.on_battery and time.monotonic() < until:
        time.sleep(0.001)
    assert meter.power.on_battery


def test_a_machine_that_tells_nothing_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    """As psutil does on kernels without /sys/class/power_supply, and where /proc is hidden."""

    def missing(*_: object) -> None:
        raise FileNotFoundError("/sys/class/power_supply")

    monkeypatch.setattr("psutil.sensors_battery", missing)
    assert read_power() == Power()


@pytest.mark.parametrize(("scope", "expected"), [("Device", None), ("System", True), (None, True)])
def test_the_battery_of_a_mouse_is_not_the_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scope: str | None, expected: bool | None
) -> None:
    (tmp_path / "hidpp_battery_0").mkdir()
    if scope is not None:
        (tmp_path / "hidpp_battery_0" / "scope").write_text(f"{scope}\n")
    monkeypatch.setattr(battery, "SUPPLIES", tmp_path)
    reported = SimpleNamespace(percent=12.0, power_plugged=False)
    monkeypatch.setattr("psutil.sensors_battery", lambda: reported)
    assert read_power().on_battery is expected


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
