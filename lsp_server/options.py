"""The options of a client, with defaults, reasons and checks; and the switches of studies.

`initializationOptions` and `workspace/didChangeConfiguration` carry the same object. Names on the wire are in camelCase
and nested as the classes here are: `{"threads": 4, "trigger": {"comments": false}}`.

Users set the fields made by `_option`. Those made by `_switch` are for measurements (`submodel-lab replay --switch`,
`benchmarks`): they are read below the key `experimental` alone, and no page lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from contract.files.home import expand_home
from lsp_server.decoding.providers import Provider

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_NEW_TOKENS_LIMIT = 512
THREADS_LIMIT = 256

T = TypeVar("T")
Group = TypeVar("Group", bound="DataclassInstance")


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a value on the wire must be, in words and as a predicate."""

    demand: str
    is_valid: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


def _is_on_share(path: str) -> bool:
    # Opening it would send the user's name and a hash of the password to a machine that a repository may name. Windows
    # takes either slash, and `\??\UNC\host`.
    return path.replace("\\", "/").startswith(("//", "/??/"))


_FLAG = Check(demand="true or false", is_valid=lambda value: isinstance(value, bool))
_FOLDER = Check(
    demand="the path of a bundle folder",
    is_valid=lambda value: isinstance(value, str) and value != "" and not _is_on_share(value),
    convert=lambda value: expand_home(Path(value)),
)


def _count(low: int, high: int) -> Check:
    # True is an int too, hence `type`.
    return Check(demand=f"a whole number from {low} to {high}", is_valid=lambda v: type(v) is int and low <= v <= high)


def _number(low: float, high: float) -> Check:
    return Check(
        demand=f"a number from {low:g} to {high:g}", is_valid=lambda v: type(v) in (int, float) and low <= v <= high
    )


def _one_of(*names: str) -> Check:
    return Check(demand=f"one of {', '.join(repr(str(name)) for name in names)}", is_valid=lambda value: value in names)


def _option(default: Any, check: Check, why: str) -> Any:
    return field(default=default, metadata={"check": check, "why": why})


def _switch(default: Any, check: Check = _FLAG) -> Any:
    return field(default=default, metadata={"check": check})


def _group(kind: type[T]) -> T:
    return field(default_factory=kind, metadata={"group": kind})


@dataclass(frozen=True, kw_only=True)
class TriggerOptions:
    """When a completion is requested while the user types."""

    automatic: bool = _option(
        True,
        _FLAG,
        "complete while the user types; if false, only on request, and never in editors without inline completion",
    )
    comments: bool = _option(True, _FLAG, "complete in comments")
    debounce_min_ms: int = _switch(40, _count(0, 2000))  # the least wait after a keystroke
    debounce_max_ms: int = _switch(75, _count(0, 5000))  # the longest, of those who type slowly
    multi_line: bool = _switch(True)  # several lines if syntax or braces say that a block begins
    # Time for an answer, a third of it at least after the prompt was read. What is there then is cut at its last whole
    # word.
    budget_ms: int = _switch(1500, _count(50, 60_000))
    # If reading the text around the cursor would take longer, the first answer comes from less of it.
    cold_ms: int = _switch(400, _count(0, 60_000))


@dataclass(frozen=True, kw_only=True)
class StopOptions:
    """Where an answer ends."""

    newline: bool = _switch(True)  # one line, or a block up to a blank line
    dedent: bool = _switch(True)  # a block ends where the indentation falls below it
    next_line: bool = _switch(True)  # at the line that already stands below the cursor
    repetition: bool = _switch(True)  # at a text that comes again and again, the line above, an import of the run above


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """What is done to an answer before it is shown."""

    whole_line: bool = _switch(True)  # on a blank line the model writes the indentation too, which is then removed
    healing: bool = _switch(True)  # what is begun, a word or a token, is completed as if it had not been typed yet
    special_tokens: bool = _switch(True)  # control tokens that were spelled out end the text
    indentation: bool = _switch(True)  # tabs or spaces, as the file has them
    suffix_duplicate: bool = _switch(True)  # no text that already stands right of the cursor
    doubled_closers: bool = _switch(True)  # closing brackets right of the cursor are replaced, not doubled
    syntax: bool = _switch(True)  # cut to what parses


@dataclass(frozen=True, kw_only=True)
class ThresholdOptions:
    """How sure the model must be of what is shown while the user types."""

    # Its probability of the shown text, at least: what follows is cut off. 0 shows everything.
    confidence: float = _switch(0.4, _number(0, 1))


@dataclass(frozen=True, kw_only=True)
class CareOptions:
    """How much of the machine completions may use."""

    idle_unload_minutes: float = _option(
        15, _number(0, 100_000), "free the model's memory after so long without a request; 0 keeps it"
    )
    on_battery: str = _option(
        "saving",
        _one_of("full", "saving", "off"),
        "on battery: no change (`full`); half the cores, longer waits, single lines, nothing read ahead, and "
        "below 20 % nothing while the user types (`saving`); nothing while the user types (`off`)",
    )
    prefetch: bool = _switch(True)  # while a suggestion is shown, the line after it is completed
    # The text around the cursor is read before a keystroke, if the client sends where the cursor is.
    read_ahead: bool = _switch(True)
    # How long the cursor must rest before that. The client has waited, too (docs/protocol.md).
    read_ahead_delay_ms: int = _switch(50, _count(0, 60_000))


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How this server behaves for one client."""

    enabled: bool = _option(True, _FLAG, "false: no completions, and no model in memory")
    eagerness: str = _option(
        "normal",
        _one_of("quiet", "normal", "eager"),
        "how much is shown while you type: a suggestion ends before the word at which the model is less than "
        "60 % (`quiet`), 40 % (`normal`) or 25 % (`eager`) sure of it. The rest comes once that is accepted or typed. "
        "After a keystroke `quiet` waits longer and `eager` shorter. At a new place `quiet` reads the whole window if "
        "that takes less than 1.5 s",
    )
    bundle: Path | None = _option(
        None, _FOLDER, "one bundle for all files, built here or trusted; without it each folder has its own"
    )
    threads: int | None = _option(
        None,
        _count(1, THREADS_LIMIT),
        "cores to use; without it the fast physical ones, at most 8",
    )
    provider: str = _option(
        "auto",
        _one_of(*Provider),
        "where the model runs; a provider that is not available gives `cpu`, and the log says why",
    )
    # Tokens of an answer; None: 32 for a line, 128 for a block.
    max_new_tokens: int | None = _switch(None, _count(1, MAX_NEW_TOKENS_LIMIT))
    trigger: TriggerOptions = _group(TriggerOptions)
    stops: StopOptions = _group(StopOptions)
    filters: FilterOptions = _group(FilterOptions)
    threshold: ThresholdOptions = _group(ThresholdOptions)
    care: CareOptions = _group(CareOptions)


@dataclass(frozen=True, kw_only=True)
class Eagerness:
    """What one word for `eagerness` stands for; the words of the fields are those of the switches."""

    confidence: float
    debounce_min_ms: int
    debounce_max_ms: int
    cold_ms: int


# Played from keystrokes of starlette, confidences of 0.6, 0.4 and 0.25 saved 54.6, 59.0 and 54.1 % of them; 26, 39 and
# 52 % of what was shown was wrong. Typed there at a keystroke every 200 ms, waits of at most 150, 75 and 40 ms saved
# 33.3, 40.4 and 40.5 %, with whole lines (dev/LOG.md). The waits of `quiet` were not measured. A quiet server answers
# from less text only if time would run out otherwise.
EAGERNESS = {
    "quiet": Eagerness(confidence=0.6, debounce_min_ms=80, debounce_max_ms=300, cold_ms=60_000),
    "normal": Eagerness(confidence=0.4, debounce_min_ms=40, debounce_max_ms=75, cold_ms=400),
    "eager": Eagerness(confidence=0.25, debounce_min_ms=20, debounce_max_ms=40, cold_ms=200),
}
EXPERIMENTAL = "experimental"  # the key that holds the switches of studies


# For a completion that was asked for by hand: without a confidence threshold and without the short prompt.
WHEN_ASKED = ServerOptions(threshold=ThresholdOptions(confidence=0.0), trigger=TriggerOptions(cold_ms=60_000))
# On a command line nobody types meanwhile: a minute of time.
UNHURRIED = replace(WHEN_ASKED, trigger=TriggerOptions(budget_ms=60_000, cold_ms=60_000))
# For measurements: the same, and one line.
PATIENT = replace(UNHURRIED, trigger=replace(UNHURRIED.trigger, multi_line=False))


def read_options(document: object, defaults: ServerOptions) -> tuple[ServerOptions, list[str]]:
    """Return the options of a client's JSON, and a sentence for each unknown or bad one, which keeps its default."""
    if document is None or document == []:  # Lua's empty table, as Neovim sends it
        return defaults, []
    if not isinstance(document, dict):
        return defaults, [f"initializationOptions must be an object, not {document!r}; the defaults hold."]
    problems: list[str] = []
    named = {key: value for key, value in document.items() if key != EXPERIMENTAL}
    options = _read_group(named, defaults, "", problems, is_study=False)
    if named.get("eagerness") == options.eagerness:  # it is named, and valid
        options = _with_eagerness(options, EAGERNESS[options.eagerness])
    switches = document.get(EXPERIMENTAL)
    if isinstance(switches, dict):
        options = _read_group(switches, options, f"{EXPERIMENTAL}.", problems, is_study=True)
    elif switches is not None and switches != []:
        problems.append(f"The option {EXPERIMENTAL!r} must be an object, not {switches!r}; its defaults hold.")
    return options, problems


def names_an_option(document: dict[Any, Any]) -> bool:
    """Return whether any key of a client's JSON is an option or a group of them."""
    return any(key in document for key in (EXPERIMENTAL, *(wire_name(one.name) for one in fields(ServerOptions))))


def wire_name(name: str) -> str:
    """Return a field's name as clients write it."""
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def is_of_study(kind: type[DataclassInstance] | DataclassInstance, name: str) -> bool | None:
    """Return whether a field is a switch of studies; None for a group that has both switches and options."""
    one = next(one for one in fields(kind) if one.name == name)
    if "group" not in one.metadata:
        return "why" not in one.metadata
    group = one.metadata["group"]
    kinds = {is_of_study(group, inner.name) for inner in fields(group)}
    return kinds.pop() if len(kinds) == 1 else None


def _with_eagerness(options: ServerOptions, eagerness: Eagerness) -> ServerOptions:
    trigger = replace(
        options.trigger,
        debounce_min_ms=eagerness.debounce_min_ms,
        debounce_max_ms=eagerness.debounce_max_ms,
        cold_ms=eagerness.cold_ms,
    )
    return replace(options, threshold=ThresholdOptions(confidence=eagerness.confidence), trigger=trigger)


def _read_group(document: dict[Any, Any], defaults: Group, path: str, problems: list[str], *, is_study: bool) -> Group:
    known = {
        wire_name(one.name): one for one in fields(defaults) if is_of_study(defaults, one.name) in (None, is_study)
    }
    read: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{path}{key}"
        if key not in known:
            problems.append(f"There is no option {name!r}; known are {', '.join(sorted(path + one for one in known))}.")
            continue
        if value is None:
            continue  # clients send null for what their user left unset
        one = known[key]
        if "group" in one.metadata:
            if isinstance(value, dict):
                read[one.name] = _read_group(
                    value, getattr(defaults, one.name), f"{name}.", problems, is_study=is_study
                )
            elif value != []:  # Lua's empty table
                problems.append(f"The option {name!r} must be an object, not {value!r}; its defaults hold.")
            continue
        check: Check = one.metadata["check"]
        if check.is_valid(value):
            read[one.name] = check.convert(value)
        else:
            problems.append(f"The option {name!r} must be {check.demand}, not {value!r}; its default holds.")
    return replace(defaults, **read)
