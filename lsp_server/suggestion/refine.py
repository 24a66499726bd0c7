"""Applies stops to a growing answer and filters to a whole one. Each step is kept for `submodel/explain`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion import filters, right_side, stops
from lsp_server.suggestion.brackets import QUOTES, SIDE_CHARS, open_at_end
from lsp_server.suggestion.indentation import columns_of, indent_of, indent_unit, reindent, strip_typed, width
from lsp_server.suggestion.steps import Action, Change, Rejection, Step
from lsp_server.suggestion.stops import Cut, Stop

# The order matters: first what rejects text that is none, last what needs the final text. The names are those of the
# options; a filter without an option is always on. Read-only: who takes one out and puts it back changes the order.
STOPS: Mapping[str, Stop] = MappingProxyType(
    {
        "newline": stops.newline,
        "dedent": stops.dedent,
        "next_line": stops.next_line,
        "repetition": stops.repetition,
    }
)
FILTERS: Mapping[str, filters.Filter] = MappingProxyType(
    {
        "invisible": filters.invisible,
        "special_tokens": filters.special_tokens,
        "indentation": filters.indentation,
        "secret": filters.secret,
        "suffix_duplicate": right_side.suffix_duplicate,
        "doubled_closers": right_side.doubled_closers,
        "syntax": filters.syntax,
    }
)

_STRING_START = re.compile(r"(?<!\w)[A-Za-z]{0,2}[#$@]{0,2}$")  # before the quote; behind a word it is an apostrophe
_SWITCH = re.compile(r"^\s*+(?:switch|select)\b.*\{\s*$")
_UNSURE = "the model is not sure enough of what follows"
_OUT_OF_TIME = "time or tokens ran out, or the model broke off, before the line was whole"


# Thai, Lao, Myanmar, Khmer, kanji and hiragana: no space stands between two words, so each character ends one. Katakana
# writes one loan word between others, and is cut as letters are.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def without_begun_word(text: str, rest: str = "") -> str:
    """Return a text without the word at its end that `rest` continues. An unknown rest, "", counts as a letter."""
    end, following = len(text), rest[:1] or "x"
    while end > 0 and _is_within_word(text[end - 1], following):
        end, following = end - 1, text[end - 1]
    return text[:end]


def _is_within_word(character: str, following: str) -> bool:
    """Return whether no word ends between two characters. A combining mark belongs to the character before it."""
    if _is_mark(following):
        return _is_of_word(character)
    return all(_is_of_word(one) and not _SPACELESS.match(one) for one in (character, following))


def _is_of_word(character: str) -> bool:
    return character == "_" or character.isalnum() or _is_mark(character)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def reads_from_column_0(request: CompletionRequest) -> bool:
    """Return whether the model is asked for the whole line, since only tabs and spaces stand before the cursor."""
    return request.options.filters.whole_line and request.is_in_indentation and request.indent != ""


def is_done(raw: str, request: CompletionRequest) -> bool:
    """Return whether a stop ends the answer; `raw` is the model's text so far."""
    text, is_dedented = _from_cursor(raw, request)
    if is_dedented and request.options.stops.dedent:
        outer = _outdented(raw, request)
        return outer is None or _first_cut(text, outer, is_final=False) is not None
    return _first_cut(text, request, is_final=False) is not None


def refine(
    raw: str,
    request: CompletionRequest,
    *,
    is_unfinished: bool = False,
    sure: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Completion:
    """Return what of an answer is shown; an unfinished one (time or tokens ran out) ends at its last whole word.

    sure: the model is sure enough of so many characters; None: of all. `stop` is asked between the parses of the syntax
    filter. Once it has said yes the result is of no use.
    """
    steps: list[Step] = []
    raw, unsure = raw[:sure], "" if sure is None else raw[sure:]
    text, is_dedented = _from_cursor(raw, request)
    indent: str | None = None
    if is_dedented and request.options.stops.dedent:
        outer = _outdented(raw, request)
        if outer is None:
            detail = "the model ends the block here, whose indentation is typed already"
            step = Step(name="dedent", kind="stop", action="rejected", detail=detail, before=raw)
            return Completion(rule="dedent", steps=(step,))
        detail = "the line belongs to an outer block, and the editor has indented it"
        steps.append(Step(name="dedent", kind="stop", action="changed", detail=detail, before=raw, after=text))
        request, indent = outer, outer.indent
    cut = _first_cut(text, request, is_final=True)
    if cut is not None:
        name, where = cut
        kept, rule = text[: where.at], _rule(name)
        action: Action = "cut" if kept.strip() else "rejected"
        if where.at < len(text):
            steps.append(Step(name=rule, kind="stop", action=action, detail=where.detail, before=text, after=kept))
        if action == "rejected":
            return Completion(rule=rule, steps=tuple(steps))
        text = kept
    elif sure is not None:
        kept = _sure_words(text, unsure)
        step = Step(name="threshold", kind="threshold", action="cut", detail=_UNSURE, before=text + unsure, after=kept)
        if not kept.strip():
            return Completion(rule="threshold", steps=(*steps, replace(step, action="rejected", after=None)))
        steps.append(step)
        text = kept
    elif is_unfinished:
        kept = _whole_words(text, request)
        step = Step(name="budget", kind="stop", action="cut", detail=_OUT_OF_TIME, before=text, after=kept)
        if not kept.strip():
            return Completion(rule="budget", steps=(replace(step, action="rejected"),))
        steps.append(step)
        text = kept
    completion = _filtered(Completion(text=text, steps=tuple(steps)), request, stop)
    return replace(completion, indent=indent) if completion.text else completion


def begun_characters(raw: str, request: CompletionRequest) -> int:
    """Return how many characters at the start of an answer are the white space of its line."""
    return len(raw) - len(_from_cursor(raw, request)[0])


def _filtered(completion: Completion, request: CompletionRequest, stop: Callable[[], bool] | None) -> Completion:
    for name, act in FILTERS.items():
        if not getattr(request.options.filters, name, True) or not completion.text.strip():
            continue
        # The others take a millisecond at most.
        verdict = act(completion, request) if act is not filters.syntax else filters.syntax(completion, request, stop)
        if verdict is None:
            continue
        rule = _rule(name)
        if isinstance(verdict, Rejection):
            step = Step(name=rule, kind="filter", action="rejected", detail=verdict.detail, before=completion.text)
            return Completion(rule=rule, steps=(*completion.steps, step))
        steps = (*completion.steps, _changed(rule, verdict, completion))
        completion = Completion(text=verdict.text, replaces=verdict.replaces, added=verdict.added, steps=steps)
    below = right_side.closer_below(completion, request) if request.options.filters.doubled_closers else None
    if below is not None:
        steps = (*completion.steps, _changed(_rule("doubled_closers"), below, completion))
        completion = Completion(text=below.text, replaces=below.replaces, steps=steps)
    text = completion.text
    if not request.line_after[completion.replaces :].strip():
        text = text.rstrip()
    if not text.strip():
        return Completion(rule="empty", steps=completion.steps)
    return replace(completion, text=text)


def _from_cursor(raw: str, request: CompletionRequest) -> tuple[str, bool]:
    """Return an answer from the cursor on, and whether it is indented less than what is typed already."""
    raw = raw.replace("\r\n", "\n").replace("\r", "\n")
    if request.is_multi_line and not request.is_blank_before:
        raw = _without_blank_lines(raw)
    if not reads_from_column_0(request):
        return raw, False
    if request.is_multi_line:
        raw = _without_blank_lines("\n" + raw)[1:]
    head, newline, rest = raw.partition("\n")
    head, is_dedented = strip_typed(head, request.line_before)
    return head + newline + rest, is_dedented


def _outdented(raw: str, request: CompletionRequest) -> CompletionRequest | None:
    """Return the request with the indentation of an answer that is indented less than what stands before the cursor."""
    indent = indent_of(raw)
    if indent not in request.outdented:
        request.outdented[indent] = _with_less_indentation(indent, request)
    return request.outdented[indent]


def _with_less_indentation(indent: str, request: CompletionRequest) -> CompletionRequest | None:
    if not request.may_reindent or request.is_multi_line:
        return None
    above, columns = columns_of(request.previous_line), width(request.indent)
    unit = indent_unit(request.text, request.offset)
    indent = indent if unit is None else reindent(indent, unit)
    # Go's first `case` begins where its `switch` does.
    is_case = above == width(indent) and _SWITCH.match(request.previous_line) is not None
    if above != columns and not is_case:
        return None
    outer = next((line for line in request.lines_above() if columns_of(line) <= width(indent)), None)
    return request.with_indent(indent) if outer is not None and columns_of(outer) == width(indent) else None


def _without_blank_lines(text: str) -> str:
    """Remove the blank lines that a body begins with, behind the end of its header's line."""
    content = text.lstrip()
    white_space = text[: len(text) - len(content)]
    return "\n" + white_space.rpartition("\n")[2] + content if white_space.count("\n") > 1 else text


def _first_cut(text: str, request: CompletionRequest, *, is_final: bool) -> tuple[str, Cut] | None:
    """Return the earliest cut of all stops, and the name of its stop."""
    first: tuple[str, Cut] | None = None
    for name, stop in STOPS.items():
        if getattr(request.options.stops, name):
            cut = stop(text, request, is_final)
            if cut is not None and (first is None or cut.at < first[1].at):
                first = name, cut
    return first


def _sure_words(text: str, unsure: str) -> str:
    """Remove the last line of several, or the word that the unsure rest goes on with."""
    ended = text.rstrip()
    if "\n" in text[len(ended) :]:  # the last line is whole
        return ended
    if "\n" in text.strip() and not unsure.startswith("\n"):
        return text[: text.rindex("\n")]
    return without_begun_word(text, unsure) if unsure else text


def _whole_words(text: str, request: CompletionRequest) -> str:
    """Remove the last of several lines, or the last word of a single one, since it may be unfinished.

    A string that the line then leaves open goes too, unless it holds several words or nothing else would be left.
    """
    ended = text.rstrip()
    if "\n" in text[len(ended) :]:  # the last line is whole
        return ended
    if "\n" in text.strip():
        return text[: text.rindex("\n")]
    kept = without_begun_word(text)
    waiting = open_at_end(request.line_before[-SIDE_CHARS:] + kept)
    quote = waiting[-1:]
    if quote not in QUOTES or waiting.endswith(3 * quote) or quote not in kept:
        return kept  # no string is open, or one of several lines, or one that stands before the cursor
    start = kept.rindex(quote)
    while start > 0 and kept[start - 1] == "\\":
        start = kept.rfind(quote, 0, start)
    before = _STRING_START.search(kept[:start]) if start >= 0 else None
    if before is None or " " in kept[start + 1 :].strip():
        return kept
    shorter = kept[: before.start()]
    return shorter if any(map(str.isalnum, shorter)) or not any(map(str.isalnum, kept)) else kept


def _changed(rule: str, change: Change, before: Completion) -> Step:
    is_cut = before.text.startswith(change.text) and change.text != before.text
    action: Action = "cut" if is_cut else "changed"
    return Step(name=rule, kind="filter", action=action, detail=change.detail, before=before.text, after=change.text)


def _rule(name: str) -> str:
    """Return an option's name as users read it."""
    return name.replace("_", "-")
