"""The status object: what the server does, for which bundles, and why there are no completions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.bundle.bundle import WORKSPACE_BUNDLE
from contract.bundle.previous import built_at
from contract.bundle.trusted_builds import UntrustedError
from contract.documents import ServedBundle, ServerState, ServerStatus
from lsp_server.battery import choose_policy
from lsp_server.bundle_finder import BundleFinder, manifest_or_empty, older_bundles, workspace_of
from lsp_server.loaded_bundles import BundleState, BundleStatus
from lsp_server.session import Session


def describe_status(session: Session, finder: BundleFinder, *, version: str, is_started: bool) -> ServerStatus:
    """Return the answer to `submodel/status` (docs/protocol.md). `is_started`: bundles were looked for."""
    power = session.meter.power
    policy, power_reason = choose_policy(power, session.options.care)
    bundles = _untrusted(finder) | session.service.bundles
    state, message = _state(session, bundles, is_started=is_started)
    if power_reason and (state in ("ready", "unloaded") or not message):
        message = power_reason
    snoozed = session.pauses.snoozed_until if session.pauses.snooze_end else None
    return {
        "state": state,
        "message": message,
        "version": version,
        "snoozedUntil": snoozed.isoformat(timespec="seconds") if snoozed else None,
        "isBusy": session.service.is_answering(),
        "power": {
            "onBattery": power.on_battery,
            "policy": policy.value,
        },
        "threads": session.threads() or power.cores,
        "memoryBytes": memory_bytes(),
        "latencyMs": session.tracker.statistics.latency(),
        "bundles": [_describe_bundle(*one) for one in bundles.items()],
    }


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _untrusted(finder: BundleFinder) -> dict[Path, BundleStatus]:
    """Return the bundles that were found but are not served."""
    return {
        folder: BundleStatus(
            state=BundleState.UNTRUSTED, error=str(why), build=why.build if isinstance(why, UntrustedError) else None
        )
        for folder, why in finder.refused.items()
    }


def _state(session: Session, bundles: dict[Path, BundleStatus], *, is_started: bool) -> tuple[ServerState, str]:
    states = {status.state for status in bundles.values()}
    if not session.options.enabled:
        return "disabled", "submodel is switched off (option enabled)."
    if session.pauses.is_paused:
        return "paused", "submodel is paused; resume it with submodel.resume."
    if (end := session.pauses.snooze_end) is not None:
        return "snoozed", f"submodel is snoozed until {end:%H:%M}."
    if not states:
        return ("failed", "No bundle; run `submodel build` in the repository.") if is_started else ("starting", "")
    if states <= {BundleState.FAILED, BundleState.UNTRUSTED}:
        return "failed", next(status.error or "" for status in bundles.values())
    if BundleState.LOADING in states:
        return "loading", "submodel loads its model."
    if BundleState.READY in states:
        return "ready", "submodel is ready."
    return "unloaded", "submodel has freed its memory and loads its model again at the next request."


def _describe_bundle(folder: Path, status: BundleStatus) -> ServedBundle:
    manifest: Mapping[str, Any] = {} if status.state is BundleState.UNTRUSTED else manifest_or_empty(folder)
    workspace = workspace_of(folder)
    base = manifest.get("base")
    files = manifest.get("files") or {}
    try:
        time_of_build = built_at(folder).isoformat(timespec="seconds")
    except OSError:
        time_of_build = None
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
        "builtAt": time_of_build,
        "previous": [str(one) for one in older_bundles(workspace / WORKSPACE_BUNDLE)] if workspace else [],
    }
