"""Battery and load of the machine, and how much of it a completion, or reading ahead, may then take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from lsp_server.options import CareOptions

RATE = 0.02  # of a core, on average
BURST_S = 6.0  # of a core at once: two places of 2,000 tokens; with RATE 3 % of a core over any ten minutes
READ_EVERY_S = 10.0
LOW_BATTERY_PERCENT = 20  # below it, nothing while the user types


class Policy(StrEnum):
    """What the machine is asked for; the values are the protocol's."""

    FULL = "full"
    SAVING = "saving"  # half the cores, waits twice as long, one line at a time
    OFF = "off"  # nothing while typing; what is asked for by hand is answered


@dataclass(frozen=True, kw_only=True)
class Power:
    """What the machine says; None where it doesn't."""

    on_battery: bool | None = None
    battery_percent: float | None = None
    load: float | None = None  # share of all cores that other programs keep busy


def choose_policy(power: Power, care: CareOptions) -> tuple[Policy, str]:
    """The policy, with a sentence for the user where it is not the full one."""
    if power.on_battery:
        if care.on_battery == "off":
            return Policy.OFF, "The machine runs on battery, and completions are switched off there."
        if power.battery_percent is not None and power.battery_percent < LOW_BATTERY_PERCENT:
            return Policy.OFF, f"The battery is at {power.battery_percent:.0f} %."
    if power.on_battery and care.on_battery == "saving":
        return Policy.SAVING, "The machine runs on battery: half the cores, one line at a time."
    return Policy.FULL, ""


class PowerMeter:
    """Reads the machine every READ_EVERY_S seconds at most. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float], read: Callable[[], Power] | None = None) -> None:
        self._now = now
        self._read = read or read_power
        self._power = Power()
        self._read_at: float | None = None

    @property
    def power(self) -> Power:
        """The last reading that is fresh enough, or a new one."""
        now = self._now()
        if self._read_at is None or now - self._read_at >= READ_EVERY_S:
            self._power, self._read_at = self._read(), now
        return self._power


def read_power() -> Power:
    """Ask the machine; the load is that since the last call."""
    import psutil

    battery = _reported(lambda: psutil.sensors_battery())
    busy, own = (
        _reported(psutil.cpu_percent),
        _reported(lambda: _own_process().cpu_percent() / (psutil.cpu_count() or 1)),
    )
    return Power(
        on_battery=None if battery is None or battery.power_plugged is None else not battery.power_plugged,
        battery_percent=None if battery is None else float(battery.percent),
        load=None if busy is None or own is None else max(0.0, (busy - own) / 100),
    )


def memory_bytes() -> int:
    """Resident memory of this process."""
    return int(_own_process().memory_info().rss)


def _reported(ask: Callable[[], Any]) -> Any:
    """What psutil says; None where it can't, as on kernels and in containers without the files that it reads."""
    try:
        return ask()
    except Exception:  # another one on each system, and none of them is worth a completion
        return None


@cache
def _own_process() -> Any:
    """One object for all calls, since psutil measures processor time from call to call."""
    import psutil

    return psutil.Process()


class Allowance:
    """Fills at `rate` up to `burst_s`. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float], *, rate: float = RATE, burst_s: float = BURST_S) -> None:
        self._now = now
        self._rate, self.burst_s = rate, burst_s
        self._left_s, self._at = burst_s, now()
        self._unused_s = 0.0  # spent since the last `use`

    @property
    def left_s(self) -> float:
        """What may be spent now; negative after more was spent than there was."""
        now = self._now()
        self._left_s = min(self.burst_s, self._left_s + (now - self._at) * self._rate)
        self._at = now
        return self._left_s

    def spend(self, core_s: float) -> None:
        """So much was spent on what may be of no use."""
        self._left_s = self.left_s - core_s
        self._unused_s = core_s

    def use(self) -> None:
        """What was spent last was of use: it is given back."""
        self._left_s = min(self.burst_s, self.left_s + self._unused_s)
        self._unused_s = 0.0
