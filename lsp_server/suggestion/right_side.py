"""What stands right of the cursor: an answer must neither repeat it nor double its closing brackets."""

from __future__ import annotations

import re
from itertools import takewhile

from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.brackets import (
    CLOSERS,
    CLOSING,
    CLOSING_MARK,
    OPENERS,
    QUOTES,
    SIDE_CHARS,
    TERMINATORS,
    open_at_cursor,
    open_at_end,
    outer_closers,
)
from lsp_server.suggestion.steps import Change, Rejection
from lsp_server.syntax.grammars import language_name

_MIN_OVERLAP = 3  # characters of text; fewer are chance
# Languages where a single quote is a quote only around one character. Else it marks a list, a type or a lifetime.
_MARKING = frozenset({"Clojure", "Elm", "F#", "Haskell", "Julia", "Lisp", "OCaml", "Rust"})
_CHARACTER_OR_MARK = re.compile(r"((?<![^\Wb])'(?:[^\\']|\\.[^']{0,8})')|'")
_ANGLE = re.compile(r"<|(?<![-=])>")
_OPEN_GENERIC = re.compile(r"\w<[^<>;(){}]*+$")  # the start of a type's arguments, whose `>` some editors insert


def suffix_duplicate(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Remove text at the answer's end that already stands right of the cursor."""
    after = request.line_after.strip()
    is_opener = after.lstrip(" ,;:") == "{"
    is_text = any(map(str.isalnum, after)) or is_opener or CLOSING_MARK.fullmatch(after) is not None
    if not is_text or "\n" in completion.text:
        return None
    text = completion.text.rstrip()
    for length in range(min(len(text), len(after)), 0, -1):
        overlap = text[-length:]
        if after.startswith(overlap) and (length >= _MIN_OVERLAP or length == len(after)):
            kept = text[:-length]
            if _leaves_open(kept, text, request):  # the answer's own bracket is closed in the overlap
                kept += overlap[: len(overlap) - len(overlap.lstrip("".join(CLOSERS)))]
                if _leaves_open(kept, text, request):
                    continue
            if request.line_after[:1].isspace():
                kept = kept.rstrip()
            if not kept.strip():
                return Rejection(detail=f"{overlap!r} stands right of the cursor already")
            return Change(text=kept, detail=f"{overlap!r} stands right of the cursor already")
    return None


def doubled_closers(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Let the answer replace the closers right of the cursor that it writes again.

    Editors insert a closing bracket as soon as one is opened. Models write it too: in the first line, or in a last line
    that holds nothing else. A bracket that the answer itself has opened does not count. A semicolon, a colon or a comma
    at the end of the line is replaced if the answer ends with it; so is one before a closer. If other text stands
    behind the closers and the answer does not go on with it, the answer ends before them.
    """
    after = request.line_after
    end = len(after.rstrip())
    if not end:
        return None
    matched, replaced = _doubled(completion.text, request)
    tail = after[replaced:end].strip()
    if tail and completion.text.rstrip().endswith(tail):
        with_it, without_it = _unpaired(completion.text, request, end), _unpaired("", request)
        # A closer alone may belong to an opener of a line above, and the answer's to an opener of its own.
        is_of_closers = not set(tail) - CLOSING - {" "} and with_it == without_it
        pairs = with_it <= without_it if matched else is_of_closers
        if pairs or not set(tail) - TERMINATORS:
            replaced = end
    if not replaced:
        return None
    kept, closers = completion.text, after[:replaced]
    detail = f"it takes the place of {closers!r}"
    if set(after) - CLOSING - {" "}:
        if replaced < end and kept[matched[0] :].rstrip() != closers.strip():
            kept, replaced = kept[: matched[0]].rstrip(), 0
            detail = f"{closers!r} stands right of the cursor already, with other text behind it"
        if _unpaired(kept, request, replaced) >= _unpaired(completion.text, request):
            return None
    if not kept or kept.strip() == closers.strip():
        return Rejection(detail=f"it is {closers!r}, which stands right of the cursor already")
    return Change(text=kept, replaces=replaced, detail=detail)


def _doubled(text: str, request: CompletionRequest) -> tuple[list[int], int]:
    """Return where an answer writes closers right of the cursor again, and how many characters these take there."""
    after = request.line_after
    first_line, start = text.partition("\n")[0], text.rfind("\n") + 1
    if not text[start:].strip() or set(text[start:].strip()) - CLOSING:
        text = first_line
    matched: list[int] = []
    replaced = 0
    waiting = open_at_cursor(without_marks(request.line_before, request), after)
    closers = outer_closers(without_marks(text, request), waiting)
    if after.lstrip(" ").startswith(">") and _OPEN_GENERIC.search(request.line_before[-SIDE_CHARS:]):
        closers = sorted([*closers, *_outer_angles(text)])
    for index in closers:
        if len(first_line) < index < start:
            continue
        following = after[replaced:].lstrip(" ")
        if not following.startswith(text[index]):
            break
        replaced = len(after) - len(following) + 1
        matched.append(index)
    if matched:
        replaced += _repeated(text[matched[-1] + 1 :].rstrip(), after[replaced:])
    return matched, replaced


def _outer_angles(text: str) -> list[int]:
    """Return the index of the first `>` that closes no `<` of the text and is no arrow's, in a list; or none."""
    opened = 0
    for match in _ANGLE.finditer(text):
        opened += 1 if match.group() == "<" else -1
        if opened < 0:
            return [match.start()]
    return []


def _repeated(text: str, after: str) -> int:
    """Return how many characters of `after` an answer repeats behind its closers: all its text, or punctuation."""
    if after.startswith(text):
        return len(text)
    pairs = takewhile(lambda pair: pair[0] == pair[1] and pair[0] in CLOSING - QUOTES, zip(text, after, strict=False))
    return sum(1 for _ in pairs)


def _leaves_open(kept: str, text: str, request: CompletionRequest) -> bool:
    """Return whether the part `kept` of an answer opens brackets in vain, while the whole answer does not."""
    return _unpaired(text, request) <= _unpaired("", request) < _unpaired(kept, request)


def _unpaired(text: str, request: CompletionRequest, replaced: int = 0) -> int:
    """Count the brackets and quotes without a partner near the cursor in its line with `text` in it."""
    line = request.line_before[-SIDE_CHARS:] + text + request.line_after[replaced:SIDE_CHARS]
    line = without_marks(line, request)
    return len(open_at_end(line)) + len(outer_closers(line, ""))


def without_marks(text: str, request: CompletionRequest) -> str:
    """Return a text with a blank for each single quote that is none in the request's language."""
    if language_name(request.path, request.language_id) not in _MARKING:
        return text
    return _CHARACTER_OR_MARK.sub(lambda found: found[1] or " ", text)


def closer_below(completion: Completion, request: CompletionRequest) -> Change | None:
    """Give the closer right of the cursor a line of its own below a body that the answer leaves open."""
    text, after = completion.text, request.line_after
    header = request.previous_line if request.is_blank_before else request.line_before
    closer = OPENERS.get(header.rstrip()[-1:])
    is_below = request.is_blank_before or text.lstrip(" \t").startswith("\n")
    if completion.replaces or closer is None or not is_below or "\n" not in text:
        return None
    rest = after.lstrip()
    if not rest.startswith(closer):
        return None
    indent = header[: len(header) - len(header.lstrip())]
    return Change(
        text=f"{text.rstrip()}\n{indent}",
        replaces=len(after) - len(rest),
        detail=f"{closer!r} right of the cursor gets a line of its own",
    )
