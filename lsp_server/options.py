"""What a client may set in `initializationOptions`, with its defaults and checks.

Names on the wire are in camelCase, as clients write them: `{"bundle": "/path", "threads": 4, "maxNewTokens": 48}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MAX_NEW_TOKENS_LIMIT = 512
THREADS_LIMIT = 256


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How this server behaves for one client."""

    enabled: bool = True
    bundle: Path | None = None  # None: that of the workspace folder
    threads: int | None = None  # None: the physical cores, at most 8
    max_new_tokens: int | None = None  # None: the engine's own limit


def read_options(document: object, defaults: ServerOptions) -> tuple[ServerOptions, list[str]]:
    """Options from the client's JSON, and a sentence for each that is unknown or bad, whose default holds."""
    if document is None:
        return defaults, []
    if not isinstance(document, dict):
        return defaults, [f"initializationOptions must be an object, not {document!r}; the defaults hold."]
    options, problems = defaults, []
    for key, value in document.items():
        if key not in _OPTIONS:
            problems.append(f"There is no option {key!r}; known are {', '.join(sorted(_OPTIONS))}.")
            continue
        option = _OPTIONS[key]
        if value is None:
            continue  # clients send null for what their user left unset
        if option.is_valid(value):
            options = replace(options, **{option.field: option.convert(value)})
        else:
            problems.append(f"The option {key!r} must be {option.demand}, not {value!r}; its default holds.")
    return options, problems


@dataclass(frozen=True, kw_only=True)
class _Option:
    field: str
    demand: str
    is_valid: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


def _is_count(limit: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 1 <= value <= limit  # True is an int too, hence `type`


_OPTIONS = {
    "enabled": _Option(field="enabled", demand="true or false", is_valid=lambda value: isinstance(value, bool)),
    "bundle": _Option(
        field="bundle",
        demand="the path of a bundle folder",
        is_valid=lambda value: isinstance(value, str) and value != "",
        convert=lambda value: Path(value).expanduser(),
    ),
    "threads": _Option(
        field="threads",
        demand=f"a whole number from 1 to {THREADS_LIMIT}",
        is_valid=_is_count(THREADS_LIMIT),
    ),
    "maxNewTokens": _Option(
        field="max_new_tokens",
        demand=f"a whole number from 1 to {MAX_NEW_TOKENS_LIMIT}",
        is_valid=_is_count(MAX_NEW_TOKENS_LIMIT),
    ),
}
