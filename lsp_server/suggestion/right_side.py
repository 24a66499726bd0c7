"""What stands right of the cursor: an answer must neither repeat it nor double its closing brackets."""

from __future__ import annotations

from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, OPENERS, QUOTES, TERMINATORS, open_at_cursor, outer_closers
from lsp_server.suggestion.steps import Change, Rejection

_MIN_OVERLAP = 3  # characters of text; fewer are chance


def suffix_duplicate(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Remove text at the answer's end that already stands right of the cursor."""
    after = request.line_after.strip()
    if not any(map(str.isalnum, after)) or "\n" in completion.text:
        return None
    text = completion.text.rstrip()
    for length in range(min(len(text), len(after)), 0, -1):
        overlap = text[-length:]
        if after.startswith(overlap) and (length >= _MIN_OVERLAP or length == len(after)):
            kept = text[:-length]
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
    at the end of the line is replaced if the answer ends with it.
    """
    after = request.line_after
    if not after.strip() or set(after.strip()) - CLOSING - {" "}:
        return None
    first_line, text, start = completion.text.partition("\n")[0], completion.text, completion.text.rfind("\n") + 1
    if not text[start:].strip() or set(text[start:].strip()) - CLOSING:
        text = first_line
    replaced, last = 0, -1
    for index in outer_closers(text, open_at_cursor(request.line_before, after)):
        if len(first_line) < index < start:
            continue
        following = after[replaced:].lstrip(" ")
        if not following.startswith(text[index]):
            break
        replaced, last = len(after) - len(following) + 1, index
    if last >= 0:  # Further characters that both have, such as the colon in "):".
        for character in text[last + 1 :]:
            if after[replaced : replaced + 1] != character or character in QUOTES:
                break
            replaced += 1
    tail = after[replaced:].strip()
    if tail and not set(tail) - TERMINATORS and completion.text.rstrip().endswith(tail):
        replaced = len(after.rstrip())
    if not replaced:
        return None
    closers = after[:replaced]
    if completion.text.strip() == closers.strip():
        return Rejection(detail=f"it is {closers!r}, which stands right of the cursor already")
    return Change(text=completion.text, replaces=replaced, detail=f"it takes the place of {closers!r}")


def closer_below(completion: Completion, request: CompletionRequest) -> Change | None:
    """Give the closer right of the cursor a line of its own below a body that the answer leaves open.

    The body begins below its opener. Without the line the closer would stand behind the body's last statement.
    """
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
