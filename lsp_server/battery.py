"""The machine's battery, and how much of the machine completions may use by its state."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from contract.processor import default_threads
from lsp_server.options import CareOptions, ServerOptions

READ_EVERY_S = 10.0
SUPPLIES = Path("/sys/class/power_supply")
LOW_BATTERY_PERCENT = 20  # below it, no completions while the user types


@dataclass(frozen=True, kw_only=True)
class Power:
    """State of the battery; None for what the machine does not report."""

    on_battery: bool | None = None
    battery_percent: float | None = None

    @cached_property
    def cores(self) -> int:
        """What the engine uses by default. Linux is asked in a file for each core, so once a reading."""
        return default_threads()


def _run_beside(job: Callable[[], None]) -> None:
    """Run a job that nobody waits for, nor a server whose client has left."""
    threading.Thread(target=job, name="battery", daemon=True).start()


class PowerMeter:
    """Reads the battery every READ_EVERY_S seconds at most. `now` is a monotonic clock in seconds.

    beside: runs a job that no request waits for, since some machines take long to read.
    """

    def __init__(
        self,
        now: Callable[[], float],
        read: Callable[[], Power] | None = None,
        beside: Callable[[Callable[[], None]], None] = _run_beside,
    ) -> None:
        self._now = now
        self._read = read or read_power
        self._beside = beside
        self._is_reading = False  # beside
        self._power = Power()
        self._read_at: float | None = None

    @property
    def power(self) -> Power:
        """The last reading; the first time a new one. If it is old, a new one begins beside, for later calls."""
        if self._read_at is None:
            self._take()
        elif not self._is_reading and self._is_old():
            self._is_reading = True
            self._beside(self._take)
        return self._power

    async def renew(self) -> None:
        """Wait for a reading that is fresh enough."""
        if self._is_old():
            await asyncio.to_thread(self._take)

    def _is_old(self) -> bool:
        return self._read_at is None or self._now() - self._read_at >= READ_EVERY_S

    def _take(self) -> None:
        try:
            power = self._read()
            if power.on_battery:
                _ = power.cores  # else a request would count them
            self._power, self._read_at = power, self._now()
        finally:
            self._is_reading = False


def read_power() -> Power:
    """Read the state of the battery."""
    import psutil

    battery: Any = None if _is_of_a_device() else _reported(lambda: psutil.sensors_battery())
    is_known = battery is not None and battery.power_plugged is not None
    return Power(
        on_battery=not battery.power_plugged if is_known else None,
        battery_percent=None if battery is None else float(battery.percent),
    )


def _is_of_a_device() -> bool:
    """Whether the first battery that Linux lists, which psutil takes, is that of a mouse or a keyboard."""
    try:
        names = sorted(one.name for one in SUPPLIES.iterdir())
        names = [name for name in names if name.startswith("BAT") or "battery" in name.lower()]
        return bool(names) and (SUPPLIES / names[0] / "scope").read_text("ascii").strip() == "Device"
    except (OSError, ValueError):
        return False


def _reported(ask: Callable[[], Any]) -> Any:
    """Return what psutil reports; None if it fails, as on kernels and in containers without the files that it reads."""
    try:
        return ask()
    except Exception:  # each system raises others, and none of them may cost a completion
        return None


class Policy(StrEnum):
    """How much of the machine is used; the values are the protocol's."""

    FULL = "full"
    SAVING = "saving"  # half the cores, waits twice as long, one line at a time
    OFF = "off"  # no completions while the user types; requests by hand are answered


def choose_policy(power: Power, care: CareOptions) -> tuple[Policy, str]:
    """Return the policy, with a sentence for the user if it is not the full one."""
    if power.on_battery and care.on_battery != "full":
        if care.on_battery == "off":
            return Policy.OFF, "The machine runs on battery: no completions while you type (care.onBattery)."
        if power.battery_percent is not None and power.battery_percent < LOW_BATTERY_PERCENT:
            return (
                Policy.OFF,
                f"The battery is at {power.battery_percent:.0f} %, too low for completions while you type.",
            )
        return Policy.SAVING, "The machine runs on battery: half the cores, one line at a time."
    return Policy.FULL, ""


def options_on(policy: Policy, options: ServerOptions) -> ServerOptions:
    """Return the options as a policy leaves them: on battery one line at a time."""
    if policy is not Policy.SAVING:
        return options
    return replace(options, trigger=replace(options.trigger, multi_line=False))


def choose_threads(power: Power, options: ServerOptions) -> int | None:
    """Return the cores for the model, half of them on battery, also by hand; None: the engine's own default."""
    if not power.on_battery or options.care.on_battery == "full":
        return options.threads
    return max(1, (options.threads or power.cores) // 2)
