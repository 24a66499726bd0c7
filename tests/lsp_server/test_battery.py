from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lsp_server import battery
from lsp_server.battery import READ_EVERY_S, Power, PowerMeter, read_power


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
