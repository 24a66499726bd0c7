"""What a client may set, with defaults, reasons and checks.

`initializationOptions` and `workspace/didChangeConfiguration` carry the same object. Names on the wire are in camelCase
and nested as the classes here are: `{"threads": 4, "trigger": {"comments": false}}`.

cattrs would not make this shorter: with it one bad option loses all others, unless each failure is sorted by hand into
the option that it belongs to, its sentence and its default. That sorting is all that `_read_group` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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


_FLAG = Check(demand="true or false", is_valid=lambda value: isinstance(value, bool))
_FOLDER = Check(
    demand="the path of a bundle folder",
    is_valid=lambda value: isinstance(value, str) and value != "",
    convert=lambda value: Path(value).expanduser(),
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


def _flag(default: bool, why: str) -> Any:
    return _option(default, _FLAG, why)


def _group(kind: type[T]) -> T:
    return field(default_factory=kind, metadata={"group": kind})


@dataclass(frozen=True, kw_only=True)
class TriggerOptions:
    """When a completion is asked for while the user types. Asked by hand, only `multiLine` and `budgetMs` matter."""

    automatic: bool = _flag(True, "completions while typing; without it only when asked for")
    debounce_min_ms: int = _option(40, _count(0, 2000), "the wait after a key when the user types slowly")
    debounce_max_ms: int = _option(150, _count(0, 5000), "the wait in the middle of fast typing")
    mid_word: bool = _flag(False, "complete between two letters of a word")
    before_text: bool = _flag(False, "complete where more than brackets and punctuation stands right of the cursor")
    after_accepted_line: bool = _flag(
        False, "complete at the end of a line that was just accepted, before a key is hit"
    )
    comments: bool = _flag(True, "complete in comments")
    strings: bool = _flag(True, "complete in strings")
    multi_line: bool = _flag(True, "several lines where the syntax says that a block begins")
    budget_ms: int = _option(
        1500, _count(50, 60_000), "time for an answer; what is there by then is cut at its last whole word"
    )
    cold_ms: int = _option(
        400,
        _count(0, 60_000),
        "where reading the text around the cursor would take longer than this, the first answer comes from less of it",
    )


@dataclass(frozen=True, kw_only=True)
class StopOptions:
    """Where an answer ends."""

    newline: bool = _flag(True, "one line, or a block up to a blank line")
    dedent: bool = _flag(True, "a block ends where the indentation falls below it")
    next_line: bool = _flag(True, "at the line that already stands below the cursor")
    repetition: bool = _flag(True, "at a piece that comes three times in a row, or a line like the one above")


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """What is done to an answer before it is shown."""

    whole_line: bool = _flag(True, "on a blank line the model writes the indentation too, which is then taken off")
    healing: bool = _flag(True, "a word that is begun is completed as if no letter of it had been typed yet")
    special_tokens: bool = _flag(True, "control tokens that were spelled out end the text")
    indentation: bool = _flag(True, "tabs or spaces, as the file has them")
    secret: bool = _flag(True, "nothing that looks like a key, a token or a password")
    suffix_duplicate: bool = _flag(True, "no text that already stands right of the cursor")
    doubled_closers: bool = _flag(True, "closing brackets right of the cursor are replaced, not doubled")
    syntax: bool = _flag(True, "cut to what parses")


@dataclass(frozen=True, kw_only=True)
class ThresholdOptions:
    """How sure the model must be. The threshold comes from the bundle, where it was fitted on validation lines."""

    precision: float = _option(
        0.5,
        _number(0, 1),
        "the share of suggestions that should be right: less is shown, and more of it right; 0 shows everything, and "
        "so does asking for a suggestion, where the editor says so",
    )


@dataclass(frozen=True, kw_only=True)
class ContextOptions:
    """What of other files goes into the prompt. All of it is off until a measurement on the repository favours it."""

    recent: bool = _flag(False, "pieces of files that were edited or viewed last")
    imports: bool = _flag(False, "definitions that the file imports")
    similar: bool = _flag(False, "pieces of the repository that are like the lines at the cursor")
    max_characters: int = _option(2000, _count(200, 20_000), "all pieces together; 2,000 are about 600 tokens")


@dataclass(frozen=True, kw_only=True)
class CareOptions:
    """Care for the machine."""

    idle_unload_minutes: float = _option(
        15, _number(0, 100_000), "free the model's memory after so long without a request; 0 keeps it"
    )
    on_battery: str = _option(
        "saving", _one_of("full", "saving", "off"), "on battery: as ever, half the cores and longer waits, or nothing"
    )
    low_battery_percent: float = _option(20, _number(0, 100), "below this, nothing while typing; 0 switches it off")
    prefetch: bool = _flag(
        True, "while a suggestion is read, the line after it is asked for; not while the machine is spared"
    )
    read_ahead: bool = _flag(
        True,
        "the text around the cursor is read before a key is hit, where the editor says where the cursor is; not while "
        "the machine is spared",
    )
    read_ahead_delay_ms: int = _option(150, _count(0, 60_000), "how long the cursor must rest before that")
    max_load: float = _option(
        0, _number(0, 100), "nothing while typing where others keep so many of the cores busy, per core; 0: no limit"
    )


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How this server behaves for one client."""

    enabled: bool = _flag(True, "false: nothing at all, and no model in memory")
    bundle: Path | None = _option(
        None, _FOLDER, "one bundle for all files, built here or trusted; without it each folder has its own"
    )
    threads: int | None = _option(
        None, _count(1, THREADS_LIMIT), "cores to use; without it the physical ones, at most 8"
    )
    provider: str = _option(
        "auto",
        _one_of(*Provider),
        "where the model runs; a provider that can't be had gives `cpu`, and the log says why",
    )
    max_new_tokens: int | None = _option(
        None, _count(1, MAX_NEW_TOKENS_LIMIT), "tokens of an answer; without it 32 for a line and 128 for a block"
    )
    statistics: bool = _flag(True, "count what is shown, accepted and kept; in memory only")
    drift: bool = _flag(True, "tell the user when the repository has changed much since the build")
    trigger: TriggerOptions = _group(TriggerOptions)
    stops: StopOptions = _group(StopOptions)
    filters: FilterOptions = _group(FilterOptions)
    threshold: ThresholdOptions = _group(ThresholdOptions)
    context: ContextOptions = _group(ContextOptions)
    care: CareOptions = _group(CareOptions)


# Somebody wants an answer, however sure the model is and however long it reads.
WHEN_ASKED = ServerOptions(threshold=ThresholdOptions(precision=0.0), trigger=TriggerOptions(cold_ms=60_000))
# One line, and all the time that it takes: to measure answers.
PATIENT = replace(WHEN_ASKED, trigger=TriggerOptions(multi_line=False, budget_ms=60_000, cold_ms=60_000))


def read_options(document: object, defaults: ServerOptions) -> tuple[ServerOptions, list[str]]:
    """Options from the client's JSON, and a sentence for each that is unknown or bad, whose default holds."""
    if document is None:
        return defaults, []
    if not isinstance(document, dict):
        return defaults, [f"initializationOptions must be an object, not {document!r}; the defaults hold."]
    problems: list[str] = []
    return _read_group(document, defaults, "", problems), problems


def wire_name(name: str) -> str:
    """A field's name as clients write it."""
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def _read_group(document: dict[Any, Any], defaults: Group, path: str, problems: list[str]) -> Group:
    known = {wire_name(one.name): one for one in fields(defaults)}
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
                read[one.name] = _read_group(value, getattr(defaults, one.name), f"{name}.", problems)
            else:
                problems.append(f"The option {name!r} must be an object, not {value!r}; its defaults hold.")
            continue
        check: Check = one.metadata["check"]
        if check.is_valid(value):
            read[one.name] = check.convert(value)
        else:
            problems.append(f"The option {name!r} must be {check.demand}, not {value!r}; its default holds.")
    return replace(defaults, **read)
