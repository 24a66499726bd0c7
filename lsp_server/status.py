"""The status object: what the server does, for which bundles, and what keeps completions away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.bundle.bundle import MANIFEST_FILE, WORKSPACE_BUNDLE
from contract.bundle.threshold import read_gate
from contract.bundle.trust import UntrustedError
from contract.documents import ServedBundle, ServerState, ServerStatus, ThresholdPoint
from contract.errors import BundleError
from lsp_server.bundle_finder import older_bundles, read_manifest, workspace_of
from lsp_server.power import memory_bytes
from lsp_server.server import CompletionServer
from lsp_server.service import BundleState, BundleStatus


def describe_status(ls: CompletionServer) -> ServerStatus:
    """As `submodel/status` answers it (docs/protocol.md)."""
    assistant = ls.assistant
    policy, power_reason = assistant.policy()
    power = assistant.meter.power
    bundles = _bundles(ls)
    state, message = _state(ls, bundles)
    snoozed = assistant.snoozed_until if assistant.is_snoozed else None
    return {
        "state": state,
        "message": message if message or not power_reason else power_reason,
        "version": ls.version,
        "snoozedUntil": snoozed.isoformat(timespec="seconds") if snoozed else None,
        "isBusy": ls.service.is_busy,
        "power": {
            "onBattery": power.on_battery,
            "batteryPercent": power.battery_percent,
            "load": power.load,
            "policy": policy.value,
        },
        "threads": assistant.threads(),
        "memoryBytes": memory_bytes(),
        "latencyMs": assistant.tracker.statistics.latency(),
        "bundles": [_describe_bundle(ls, folder, status) for folder, status in bundles.items()],
    }


def _bundles(ls: CompletionServer) -> dict[Path, BundleStatus]:
    """Those that are served, and those that were found but are not trusted."""
    untrusted = {
        folder: BundleStatus(
            state=BundleState.UNTRUSTED, error=str(why), build=why.build if isinstance(why, UntrustedError) else None
        )
        for folder, why in ls.finder.refused.items()
    }
    return untrusted | ls.service.bundles


def _state(ls: CompletionServer, bundles: dict[Path, BundleStatus]) -> tuple[ServerState, str]:
    assistant = ls.assistant
    states = {status.state for status in bundles.values()}
    if not ls.options.enabled:
        return "disabled", "submodel is switched off (option enabled)."
    if assistant.is_paused:
        return "paused", "submodel is paused; resume it with submodel.resume."
    if assistant.is_snoozed:
        return "snoozed", f"submodel is snoozed until {assistant.snoozed_until:%H:%M} UTC."
    if not states:
        return ("failed", "No bundle; run `submodel build` in the repository.") if ls.is_started else ("starting", "")
    if states <= {BundleState.FAILED, BundleState.UNTRUSTED}:
        return "failed", next(status.error or "" for status in bundles.values())
    if BundleState.LOADING in states:
        return "loading", "submodel loads its model."
    if BundleState.READY in states:
        return "ready", "submodel is ready."
    return "unloaded", "submodel has freed its memory and loads its model again at the next request."


def _describe_bundle(ls: CompletionServer, folder: Path, status: BundleStatus) -> ServedBundle:
    manifest: Mapping[str, Any] = {} if status.state is BundleState.UNTRUSTED else read_manifest(folder)
    workspace = workspace_of(folder)
    base = manifest.get("base")
    files = manifest.get("files") or {}
    try:
        built_at = datetime.fromtimestamp((folder / MANIFEST_FILE).stat().st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:
        built_at = None
    return {
        "folder": str(folder),
        "workspaceFolder": str(workspace) if workspace else None,
        "state": status.state.value,
        "error": status.error,
        "build": status.build,
        "provider": status.provider,
        "base": base.get("name") if isinstance(base, dict) else None,
        "parameters": manifest.get("parameters"),
        "bytes": sum(facts.get("bytes", 0) for facts in files.values()) or None,
        "builtAt": built_at,
        "gate": _gate(ls, manifest),
        "drift": ls.drift_of(folder),
        "previous": [str(one) for one in older_bundles(workspace / WORKSPACE_BUNDLE)] if workspace else [],
    }


def _gate(ls: CompletionServer, manifest: Mapping[str, Any]) -> ThresholdPoint | None:
    precision = ls.options.gate.precision
    try:
        gate = read_gate(manifest)
    except BundleError:
        return None
    point = gate.at(precision) if gate is not None and precision > 0 else None
    return point.to_json() if point is not None else None
