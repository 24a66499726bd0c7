"""What of an answer may be given out beside the shown text: to `submodel/explain` and to `submodel complete --json`.

A rule that acts before the filters, such as `repetition`, ends an answer that no filter has judged, and a cut leaves
over what none of them sees. So each text of an answer is judged here, whatever became of it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from contract.repository.secrets import blank_secrets
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion import filters
from lsp_server.suggestion.steps import Step

WITHHELD = "the text is withheld: it looks like a secret, or has characters that can't be seen"
_REFUSING = ("secret", "invisible")
_NOT_QUOTING = (*_REFUSING, "threshold", "budget")  # steps whose sentence holds nothing of the text
_NEAR_LINES = 8  # above the cursor: a value's name stands there, if not on its line
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{40}")  # its beginning may stand far above


def without_refused(completion: Completion, request: CompletionRequest) -> Completion:
    """Return what may be given out of an answer: no text but the shown one if any looks like a secret or is unseen."""
    steps = completion.steps
    if completion.rule in _REFUSING:  # whatever came before, this is why
        return replace(completion, raw="", steps=tuple(map(_without_text, steps[-1:])))
    texts = {completion.raw, *(text for step in steps for text in (step.before, step.after) if text)}
    near = _near(request)
    if any(_is_refused(text, request if _KEY_BODY.search(text) else near) for text in texts):
        return replace(completion, raw="", steps=tuple(map(_without_text, steps)))
    return completion


def _near(request: CompletionRequest) -> CompletionRequest:
    """The cursor with few lines above it: to search a whole document above takes milliseconds."""
    start = request.line_start
    for _ in range(_NEAR_LINES):
        start = request.text.rfind("\n", 0, max(0, start - 1)) + 1
    return replace(request, text=request.text[start : request.offset], offset=request.offset - start)


def _is_refused(text: str, request: CompletionRequest) -> bool:
    """Whether a text looks like a secret or holds one, alone or at the cursor, or a character that nobody sees."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if blank_secrets(text) != text:
        return True
    at_cursor = Completion(text=text)
    return any(judge(at_cursor, request) is not None for judge in (filters.invisible, filters.secret))


def _without_text(step: Step) -> Step:
    return replace(step, before=None, after=None, detail=step.detail if step.name in _NOT_QUOTING else WITHHELD)
