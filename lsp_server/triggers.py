"""Whether to complete at all while the user types: pure rules on the place, each with a switch.

What was asked for by hand is always completed.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, QUOTES, open_at_end
from lsp_server.suggestion.steps import Step
from lsp_server.syntax.grammars import MAX_PARSED_CHARS
from lsp_server.syntax.parsed_text import ParsedText

MAX_TEXT_RIGHT = 0  # characters that close nothing; llama.vim has 8, which lets through what is then cut as duplicate


def find_refusal(
    request: CompletionRequest, options: TriggerOptions, *, is_after_accepted: bool = False
) -> Step | None:
    """The first rule that says no, or None. `is_after_accepted`: nothing was typed since a completion was accepted."""
    return next(_refusals(request, options, is_after_accepted), None)


def _refusals(request: CompletionRequest, options: TriggerOptions, is_after_accepted: bool) -> Iterator[Step]:
    before, after = request.line_before, request.line_after
    if not options.automatic:
        yield refuse("automatic", "completions while typing are switched off")
    if not request.text.strip():
        yield refuse("empty-document", "there is nothing to go by")
    if not options.mid_word and _is_word(before[-1:]) and _is_word(after[:1]):
        yield refuse("mid-word", "the cursor stands within a word")
    text_right = [character for character in after if not character.isspace() and character not in CLOSING]
    if not options.before_text and len(text_right) > MAX_TEXT_RIGHT:
        yield refuse("before-text", f"{after.strip()!r} stands right of the cursor")
    if not options.after_accepted_line and is_after_accepted and not after.strip():
        yield refuse("after-accepted-line", "the line was just accepted")
    if not (options.comments and options.strings):
        place = place_of(request)
        if place == "comment" and not options.comments:
            yield refuse("comment", "completions in comments are switched off")
        if place == "string" and not options.strings:
            yield refuse("string", "completions in strings are switched off")


def place_of(request: CompletionRequest) -> str:
    """What the cursor stands in: "comment", "string" or "code"; the last where the language has no grammar."""
    if request.grammar is None or len(request.text) > MAX_PARSED_CHARS:
        return "code"
    place = ParsedText(request.text, request.grammar).place_at(request.offset)
    # A string that has no end yet is an error to the grammar.
    if place == "code" and open_at_end(request.line_before)[-1:] in QUOTES:
        return "string"
    return place


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def refuse(name: str, detail: str) -> Step:
    """Return the step of a rule that lets nothing be asked."""
    return Step(name=name, kind="trigger", action="rejected", detail=detail)
