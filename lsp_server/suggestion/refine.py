"""An answer's way to the screen: stops while it grows, filters once it is whole, each step kept for who asks why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lsp_server.options import FilterOptions, StopOptions
from lsp_server.suggestion import filters, right_side, stops
from lsp_server.suggestion.indentation import strip_typed
from lsp_server.suggestion.situation import Situation
from lsp_server.suggestion.steps import Action, Change, Draft, Rejection, Step
from lsp_server.suggestion.stops import Cut, Stop

# In this order: what is no text first, what needs the final text last. The names are those of the options; what has
# none is always on.
STOPS: dict[str, Stop] = {
    "newline": stops.newline,
    "dedent": stops.dedent,
    "next_line": stops.next_line,
    "repetition": stops.repetition,
}
FILTERS: dict[str, filters.Filter] = {
    "invisible": filters.invisible,
    "special_tokens": filters.special_tokens,
    "indentation": filters.indentation,
    "secret": filters.secret,
    "suffix_duplicate": right_side.suffix_duplicate,
    "doubled_closers": right_side.doubled_closers,
    "syntax": filters.syntax,
}

_LAST_WORD = re.compile(r"(?<!\w)\w++$")
_OUT_OF_TIME = "time or tokens ran out before the line was whole"


@dataclass(frozen=True, kw_only=True)
class Refined:
    """What is left of an answer. `rule` is what rejected it, where nothing is left."""

    draft: Draft
    steps: tuple[Step, ...] = ()
    rule: str | None = None
    raw_start: int = 0  # which part of the model's text was shown, but for its white space
    raw_end: int = 0

    @classmethod
    def nothing(cls, rule: str, *steps: Step) -> Refined:
        """Nothing to show, because of `rule`."""
        return cls(draft=Draft(text=""), steps=steps, rule=rule)


@dataclass(frozen=True, kw_only=True)
class Refinery:
    """The stops and filters that are switched on."""

    stops: StopOptions
    filters: FilterOptions

    def reads_from_column_0(self, situation: Situation) -> bool:
        """Whether the model is asked for the whole line, since nothing but white space stands before the cursor.

        Tokens of code hold the space in front of a word, so that a prompt which ends in white space has no good next
        token.
        """
        return self.filters.whole_line and situation.is_blank_before and situation.line_before != ""

    def is_done(self, raw: str, situation: Situation) -> bool:
        """Whether the model has said enough; `raw` is its text so far."""
        text, _ = self._from_cursor(raw, situation)
        return self._first_cut(text, situation, is_final=False) is not None

    def refine(self, raw: str, situation: Situation, *, is_unfinished: bool = False) -> Refined:
        """What of an answer is shown; an unfinished one (time or tokens ran out) ends at its last whole word."""
        steps: list[Step] = []
        text, is_dedented = self._from_cursor(raw, situation)
        if is_dedented and self.stops.dedent:
            detail = "the model ends the block here, whose indentation is typed already"
            step = Step(name="dedent", kind="stop", action="rejected", detail=detail, before=raw)
            return Refined.nothing("dedent", step)
        cut = self._first_cut(text, situation, is_final=True)
        if cut is not None:
            name, where = cut
            kept, rule = text[: where.at], _rule(name)
            action: Action = "cut" if kept.strip() else "rejected"
            if where.at < len(text):
                steps.append(Step(name=rule, kind="stop", action=action, detail=where.detail, before=text, after=kept))
            if action == "rejected":
                return Refined.nothing(rule, *steps)
            text = kept
        elif is_unfinished:
            kept = _whole_words(text)
            step = Step(name="budget", kind="stop", action="cut", detail=_OUT_OF_TIME, before=text, after=kept)
            if not kept.strip():
                return Refined.nothing("budget", replace(step, action="rejected"))
            steps.append(step)
            text = kept
        refined = self._filtered(Draft(text=text), situation, steps)
        raw_start = len(raw) - len(self._from_cursor(raw, situation)[0])
        return replace(refined, raw_start=raw_start, raw_end=raw_start + len(refined.draft.text))

    def _filtered(self, draft: Draft, situation: Situation, steps: list[Step]) -> Refined:
        for name, act in FILTERS.items():
            if not getattr(self.filters, name, True) or not draft.text.strip():
                continue
            verdict = act(draft, situation)
            if verdict is None:
                continue
            rule = _rule(name)
            if isinstance(verdict, Rejection):
                detail = verdict.detail
                step = Step(name=rule, kind="filter", action="rejected", detail=detail, before=draft.text)
                return Refined.nothing(rule, *steps, step)
            steps.append(_changed(rule, verdict, draft))
            draft = verdict.draft
        text = draft.text
        if not situation.line_after[draft.replaces :].strip():
            text = text.rstrip()
        if not text.strip():
            return Refined.nothing("empty", *steps)
        return Refined(draft=Draft(text=text, replaces=draft.replaces), steps=tuple(steps))

    def _from_cursor(self, raw: str, situation: Situation) -> tuple[str, bool]:
        raw = raw.replace("\r\n", "\n").replace("\r", "\n")
        if not self.reads_from_column_0(situation):
            return raw, False
        head, newline, rest = raw.partition("\n")
        head, is_dedented = strip_typed(head, situation.line_before)
        return head + newline + rest, is_dedented

    def _first_cut(self, text: str, situation: Situation, *, is_final: bool) -> tuple[str, Cut] | None:
        """The earliest cut of all stops."""
        first: tuple[str, Cut] | None = None
        for name, stop in STOPS.items():
            if getattr(self.stops, name):
                cut = stop(text, situation, is_final)
                if cut is not None and (first is None or cut.at < first[1].at):
                    first = name, cut
        return first


def _whole_words(text: str) -> str:
    """Without the last line of several, or the last word of one, which may have been meant to go on."""
    if "\n" in text.strip():
        return text[: text.rindex("\n")]
    return _LAST_WORD.sub("", text)


def _changed(rule: str, change: Change, draft: Draft) -> Step:
    is_cut = draft.text.startswith(change.draft.text) and change.draft.text != draft.text
    return Step(
        name=rule,
        kind="filter",
        action="cut" if is_cut else "changed",
        detail=change.detail,
        before=draft.text,
        after=change.draft.text,
    )


def _rule(name: str) -> str:
    """An option's name as users read it."""
    return name.replace("_", "-")
