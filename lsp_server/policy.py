"""How much of the machine completions may use, by the state of its battery."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from lsp_server.battery import Power
from lsp_server.options import CareOptions, ServerOptions

LOW_BATTERY_PERCENT = 20  # below it, no completions while the user types


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
