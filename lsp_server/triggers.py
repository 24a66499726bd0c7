"""Rules that refuse a completion while the user types: pure functions of the place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract.repository.languages import Language, get_language, is_comment_line
from lsp_server.options import TriggerOptions
from lsp_server.request import CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, CLOSING_MARK, QUOTES, SIDE_CHARS, open_at_end
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion.stops import shorten
from lsp_server.syntax.grammars import language_name

_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'|`[^`]*+`")


def find_refusal(
    request: CompletionRequest, options: TriggerOptions, *, is_after_accepted: bool = False
) -> Step | None:
    """Return the first refusal, or None. `is_after_accepted`: nothing was typed since a completion was accepted."""
    return next(_refusals(request, options, is_after_accepted), None)


def _refusals(request: CompletionRequest, options: TriggerOptions, is_after_accepted: bool) -> Iterator[Step]:
    before, after = request.line_before, request.line_after
    if not options.automatic:
        yield refuse("automatic", "completions while typing are switched off")
    if not request.text.strip():
        yield refuse("empty-document", "the document is empty")
    if _is_word(before[-1:]) and _is_word(after[:1]):
        yield refuse("mid-word", "the cursor stands within a word")
    # llama.vim lets eight such characters through; what is suggested there is then cut as a duplicate.
    # Right of a header that is being written its body may begin. What is typed at a brace itself is put around it.
    behind = after.rstrip().removesuffix("{") or after
    is_text = any(not character.isspace() and character not in CLOSING for character in behind)
    if is_text and not CLOSING_MARK.fullmatch(after):
        yield refuse("before-text", f"{shorten(after)} stands right of the cursor")
    if is_after_accepted and not after.strip():
        yield refuse("after-accepted-line", "the line was just accepted")
    if not options.comments and _is_in_comment(request):
        yield refuse("comment", "completions in comments are switched off")


def _is_in_comment(request: CompletionRequest) -> bool:
    """Return whether the cursor stands in a comment, by its line. A line of a block needs a star to count."""
    name = language_name(request.path, request.language_id)
    language = None if name is None else get_language(name)
    return language is not None and (
        _begins_as_comment(request, language) or _ends_in_comment(request.line_before, language)
    )


def _begins_as_comment(request: CompletionRequest, language: Language) -> bool:
    """Return whether the line begins as a comment does; a line of a block counts only if one is open."""
    is_block = request.line_before.lstrip().startswith(("/*", "*"))
    return is_comment_line(request.line_before, language) and (not is_block or _is_block_open(request))


def _is_block_open(request: CompletionRequest) -> bool:
    """Return whether the last mark of a block of comments before the cursor opens one."""
    return request.text.rfind("/*", 0, request.offset) > request.text.rfind("*/", 0, request.offset)


def _ends_in_comment(line: str, language: Language) -> bool:
    """Return whether a comment begins behind code in a line: a mark behind a blank, outside of quotes."""
    line = " " + _QUOTED.sub("", line[-SIDE_CHARS:]).replace("\t", " ")
    places = (line.find(f" {mark}") for mark in language.line_comments)
    return any(place >= 0 and not QUOTES & set(open_at_end(line[:place])) for place in places)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def refuse(name: str, detail: str) -> Step:
    """Return the step of a rule that refuses a request."""
    return Step(name=name, kind="trigger", action="rejected", detail=detail)
