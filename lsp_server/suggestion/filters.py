"""Filters of a whole answer: pure functions of a completion and its request, each with one reason to act."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence

from contract.repository.secrets import (
    KEY_BLOCK_LINES,
    UNSEEN,
    blank_secrets,
    first_related_line,
    kind_of_secret,
)
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, OPENERS, QUOTES, SIDE_CHARS, open_at_end
from lsp_server.suggestion.indentation import TAB_WIDTH, indent_of, indent_unit, reindent, strip_typed
from lsp_server.suggestion.right_side import doubled_closers, without_marks
from lsp_server.suggestion.steps import Change, Rejection
from lsp_server.syntax.grammars import Grammar, NoTreeError, language_name
from lsp_server.syntax.parsed_text import ParsedText

Filter = Callable[[Completion, CompletionRequest], Change | Rejection | None]

# Control tokens that a model spells with ordinary tokens. Names that are code, too, are not among them: `<filename>`,
# `[MASK]`, `<pad>`. The model's own control tokens end an answer by their ids.
_SPECIAL_TOKEN = re.compile(
    r"<[|｜][\w▁ .-]{1,40}[|｜]>|<fim[_-](?:prefix|suffix|middle|pad)>|<file_sep>"
    r"|</s>(?!\w)|<\|(?:fim|im|end|file|repo)[\w|]*$"
)
_WITH_TABS = re.compile(r"(?m)^ *\t[ \t]*(?=\S)")
_ALIGNED = re.compile(r"^\t++ ++(?!\t)")
_WORD_END = re.compile(r"\w+|[^\w\s]|\s+")
_PYTHON_HEADER = re.compile(
    r"^\s*+(?:async\s++)?+(?:if|elif|else|for|while|with|def|class|try|except|finally|match|case)\b"
)
# What a line of a language with braces may still need, but closers, a semicolon and a block.
_BRACED_ENDS = (
    (re.compile(r"\btry\b"), " finally {}"),
    (re.compile(r"\btry\b"), " catch (...) {}"),
    (re.compile(r"^\s*@\w"), "\nvoid x() {}"),
    (re.compile(r"^\s*@\w"), "\nclass x {}"),
    (re.compile(r"^\s*@\w"), "\nint x;"),
    (re.compile(r"^\s*\["), "\nvoid x() {}"),
    (re.compile(r"^\s*#\["), "\npublic function x() {}"),
    (re.compile(r"^\s*#\["), "\nclass x {}"),
    (re.compile(r"<[A-Za-z][\w.]*+(?:\s[^<>]*+)?$"), " />"),
    (re.compile(r"<[A-Za-z][^<]*>\s*+$"), "</x>"),
    (re.compile(r"^\s*#\s*if"), "\n#endif"),
    (re.compile(r"^\s*\?(?![.?])"), " : x"),
    (re.compile(r"\w<\s*$"), "x>"),
    (re.compile(r"\w<\s*$"), "x> {}"),
    (re.compile(r"\w<\s*$"), "x>() {}"),
    (re.compile(r"^\s*template\b"), "\nvoid x();"),
    (re.compile(r"\b(?:do|if|unless|while|until|def|class|module|begin|case)\b"), "\nend"),
    (re.compile(r"\bimport\b"), ' from "x"'),
    (re.compile(r"\bfrom\s*+$"), ' "x"'),
    (re.compile(r"^\s*+/\*"), "\n*/"),
    # PHP's control flow without braces, in code and around HTML.
    (re.compile(r"^\s*+(?:<\?php\s++)?+(if|for|foreach|while|switch)\b.*:\s*+$"), r" end\1;"),
    (re.compile(r"^\s*+<\?php\s++(if|for|foreach|while|switch)\b.*:\s*+\?>\s*+$"), r"<?php end\1; ?>"),
)
# What begins and ends a string of several lines, which the lines above may leave open.
_LONG_QUOTES = ('"""', "'''", "`")
# What is searched for secrets before an answer: its line's end, and a key of KEY_BLOCK_LINES above it.
_SECRET_LINE_CHARS = 4_000
_SECRET_ABOVE_CHARS = 20_000
# More than a value's name stands above it, once for each quote; a key is found without its closing quote.
_NAME_ABOVE_LINES = 8
_NAME_ABOVE_CHARS = 2_000
_MAX_CUTS = 24  # last words that are tried, and as many last lines; each costs some parses
_MAX_CLOSED = 3  # ways to close what an answer opens; each costs a parse
_CUT_CHARS = 1_000_000  # of all texts that are parsed to try them, some: fewer places in a long file


def special_tokens(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """End the text before a control token that is spelled out."""
    for match in _SPECIAL_TOKEN.finditer(completion.text):
        is_tag = match.group() == "</s>" and "<s>" in request.line_before + completion.text[: match.start()]
        if match.group() in request.text or is_tag:  # a file about tokenizers may name them
            continue
        kept = completion.text[: match.start()].rstrip()
        detail = f"{match.group()!r} is no text"
        return Change(text=kept, replaces=completion.replaces, detail=detail) if kept else Rejection(detail=detail)
    return None


def invisible(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Reject text with a character that editors don't show, or that reorders what they show.

    Such text reads as one program and runs as another (CVE-2021-42574). No option switches this filter off. Unicode's
    categories say which characters these are: Cc (control), Cf (format: bidirectional, zero-width, tags), Co and Cs.
    Other categories hold the rest, UNSEEN: variation selectors, fillers that look like a blank and may stand in a name.
    """
    for character in completion.text:
        is_unseen = unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs"} or UNSEEN.match(character)
        if is_unseen and character not in "\n\t":
            return Rejection(detail=f"U+{ord(character):04X} in it can't be seen")
    return None


def indentation(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Indent with tabs or spaces, as the document does. White space with tabs that it uses itself stays as it is.

    So does all of a Makefile, where a tab makes a recipe of a line and spaces don't. So do spaces behind tabs if the
    document indents with tabs: they align a line with one above. In the first line some of them may stand for tabs.
    """
    unit = indent_unit(request.text, request.offset)
    if unit is None or language_name(request.path, request.language_id) == "Makefile":
        return None
    # In Python a block of tabs and one of spaces don't go together.
    may_mix = unit == "\t" or request.grammar is None or not request.grammar.is_indented
    has_tabs = "\t" in request.line_before + completion.text  # else the document's need not be looked for
    known = set(_WITH_TABS.findall(request.text)) if may_mix and has_tabs else set()
    head, *rest = completion.text.split("\n")
    if request.is_in_indentation:  # what is typed and what comes are one white space
        head = request.line_before + head
        if not _is_aligned(head, unit) or indent_of(head).count(" ") % TAB_WIDTH == 0:
            head = _reindented(head, unit, known)
        head, _ = strip_typed(head, request.line_before)
    lines = [head]
    lines += [line if _is_aligned(line, unit) else _reindented(line, unit, known) for line in rest]
    text = "\n".join(lines)
    if text == completion.text:
        return None
    kind = "tabs" if unit == "\t" else f"{len(unit)} spaces"
    return Change(text=text, replaces=completion.replaces, detail=f"the file indents with {kind}")


def secret(completion: Completion, request: CompletionRequest) -> Change | Rejection | None:
    """Reject text that looks like a key, a token or a password, even one that the repository holds.

    No option switches this filter off: editors relay a repository's own settings.
    """
    line_before = request.line_before[-_SECRET_LINE_CHARS:]
    above_start = max(0, request.line_start - _SECRET_ABOVE_CHARS)
    above = request.text[above_start : request.line_start].split("\n")[:-1][-KEY_BLOCK_LINES:]
    was_there = kind_of_secret(line_before) is not None
    *lines, last = (line_before + completion.text).split("\n")
    detail = _find_secret([*lines, last], above, was_there=was_there)
    # A string that goes on right of the cursor, or was cut off, lacks its closing quote.
    near = "\n".join(above[-_NAME_ABOVE_LINES:])[-_NAME_ABOVE_CHARS:].split("\n")
    for quote in sorted(QUOTES):
        if detail is None and quote in last:
            detail = _find_secret([*lines, f"{last}{quote}"], near, was_there=was_there)
    return None if detail is None else Rejection(detail=detail)


def _find_secret(lines: Sequence[str], above: Sequence[str], *, was_there: bool) -> str | None:
    """Return what looks like a secret in the lines of an answer, None if nothing does.

    The first line begins with what is typed. above: the lines above it. was_there: what is typed holds a secret.
    """
    for number, line in enumerate(lines):
        kind = kind_of_secret(line)
        if kind is not None and not (number == 0 and was_there):
            return f"it looks like a secret ({kind})"
    # Secrets that show only with the lines above: the body of a private key, a value below its name.
    above = above[first_related_line([*above, *lines], len(above)) :]
    reported = blank_secrets("\n".join([*above, *lines])).split("\n")[len(above) :]
    if any(line.strip() and not clean for line, clean in zip(lines[1:], reported[1:], strict=False)) or (
        lines[0].strip() and not reported[0] and not was_there
    ):
        return "it looks like a part of a secret"
    return None


def syntax(
    completion: Completion, request: CompletionRequest, stop: Callable[[], bool] | None = None
) -> Change | Rejection | None:
    """Cut the text to what parses; reject it if the document has more errors with it and no cut helps.

    If closers alone stand right of the cursor, brackets that the text leaves open are closed instead, if that parses.
    What an unfinished last line may lack is added first: an operand, closing brackets, a body below its header. If the
    document has as many errors without the cursor's line, they are elsewhere, and the text is cut only if the whole
    document parses then: ERROR nodes are counted, and a worse text may have fewer of them. Where a language with macros
    has errors without that line, the grammar does not know what is written here, and the text is left as it is. So it
    is once `stop`, which is asked before each cut, says yes: nobody wants it then. So is a line that breaks off, if
    nothing stands right of it: what its rest would be is not known.
    """
    is_cython = request.path.endswith((".pyx", ".pxd"))  # Python's grammar does not know `cdef`
    if request.grammar is None or is_cython:
        return None
    if _breaks_off(completion) and not request.line_after[completion.replaces :].strip():
        return None
    try:
        return _parsed_part(completion, request, request.grammar, stop)
    except NoTreeError:
        return None


def _parsed_part(
    completion: Completion, request: CompletionRequest, grammar: Grammar, stop: Callable[[], bool] | None
) -> Change | Rejection | None:
    parsed = ParsedText(request.text, grammar)
    wanted = _errors_with(completion.text, completion.replaces, request, parsed, operands=("", " x"))
    if wanted == 0:
        return None
    without = parsed.errors()
    elsewhere = _errors_elsewhere(request, parsed) if without else 0  # else what is left of a block would count
    if wanted < without or (without and grammar.has_macros and elsewhere):
        return None
    # A line that opens a block or a bracket leaves errors when it goes; then there is a text with which there are none.
    most_errors = min(wanted - 1, without) if wanted > elsewhere else 0
    for own in _own_closers(completion, request):
        closed = completion.text.rstrip() + own
        if _errors_with(closed, completion.replaces, request, parsed) <= most_errors:
            detail = f"{own!r} closes what it opens"
            return Change(text=closed, replaces=completion.replaces, added=len(own), detail=detail)
    words = [match.end() for match in _WORD_END.finditer(completion.text) if match.group().strip()][:-1]
    lines = [match.start() for match in re.finditer(r"\n", completion.text)]  # a block may break off far within a body
    most = min(_MAX_CUTS, max(2, _CUT_CHARS // len(request.text)))
    for at in sorted({*words[-most:], *lines[-most:]}, reverse=True):
        kept = completion.text[:at]
        if len(kept.strip()) < 2:
            break
        if stop is not None and stop():
            return None
        # What is cut takes the place of no closers any more.
        closers = doubled_closers(Completion(text=kept), request) if completion.replaces else None
        replaces = closers.replaces if isinstance(closers, Change) and closers.text == kept else 0
        if _errors_with(kept, replaces, request, parsed) <= most_errors:
            dropped = completion.text[at:].strip()
            return Change(text=kept, replaces=replaces, detail=f"{dropped!r} does not parse")
    return Rejection(detail="it does not parse") if wanted > max(without, elsewhere) else None


def _breaks_off(completion: Completion) -> bool:
    """Return whether the rest of a line is left out: the model is not sure of it, or time ran out."""
    cuts = [step for step in completion.steps if step.name in ("threshold", "budget") and step.after is not None]
    return any(not (step.before or "").startswith(f"{step.after}\n") for step in cuts)


def _own_closers(completion: Completion, request: CompletionRequest) -> Iterator[str]:
    """Yield what may close the brackets at the end of an answer of one line, the shortest first."""
    is_cut = any(step.name == "threshold" for step in completion.steps)
    if is_cut and not request.may_place_cursor:
        return
    after = request.line_after[completion.replaces :].strip()
    text = completion.text.rstrip()
    if not after or set(after) - CLOSING - {" "} or "\n" in text or len(text.strip()) < 2 or text[-1] not in OPENERS:
        return
    waiting = open_at_end(without_marks(request.line_before[-SIDE_CHARS:] + text, request))[::-1]
    ends = [own for own in range(1, len(waiting)) if after.startswith(waiting[own])] + [len(waiting)]
    yield from (waiting[:own] for own in ends[:_MAX_CLOSED])


def _errors_with(
    text: str, replaces: int, request: CompletionRequest, parsed: ParsedText, operands: Sequence[str] = ("",)
) -> int:
    """Count the document's errors with the text in it, and with the best of what its last line may still lack.

    operands: what is tried at its end. An operand is no error of an answer that ends there, but a cut before one is no
    good.
    """
    alone = parsed.edited(request.offset, replaces, text)
    fewest = alone.errors()
    if fewest == 0 or request.line_after[replaces:].strip():
        return fewest
    is_comment = alone.is_comment_at(request.offset + len(text))
    for rest in _rests((request.line_before + text).rsplit("\n", 1)[-1], request, operands):
        # What followed a comment on its line would be a part of it.
        errors = parsed.edited(request.offset, replaces, f"{text}\n{rest}" if is_comment else text + rest).errors()
        fewest = min(fewest, errors)
        if fewest == 0:
            break
    return fewest


def _errors_elsewhere(request: CompletionRequest, parsed: ParsedText) -> int:
    """Count the errors of the document without the cursor's line."""
    return parsed.edited(request.line_start, len(request.line_before + request.line_after), "").errors()


def _rests(last: str, request: CompletionRequest, operands: Sequence[str]) -> Iterator[str]:
    """Yield what the rest of an unfinished last line could be: what is missing at its end is no error of the text."""
    closers = "".join(reversed(open_at_end(without_marks(last, request))))
    ends = list(_ends(last, closers, is_indented=request.grammar is not None and request.grammar.is_indented))
    for operand in operands:
        yield from (rest for end in ends if (rest := f"{operand}{closers}{end}"))
    yield from _ends_of_text(request.text[: request.line_start])


def _ends_of_text(above: str) -> Iterator[str]:
    """Yield what may close a comment or a string of several lines that the lines above leave open."""
    if above.rfind("/*") > above.rfind("*/"):
        yield "\n*/"
    yield from (f"\n{quote}" for quote in _LONG_QUOTES if above.count(quote) % 2)


def _ends(last: str, closers: str, *, is_indented: bool) -> Iterator[str]:
    """Yield what may follow a line once its brackets are closed."""
    indent = last[: len(last) - len(last.lstrip())]
    yield ""
    if is_indented:
        if _PYTHON_HEADER.match(last):
            colon = "" if last.rstrip().endswith(":") and not closers else ":"
            yield f"{colon}\n{indent}    pass"
        elif last.lstrip().startswith("@"):
            yield f"\n{indent}def x(): pass"
        return
    yield ";"
    yield " {}"
    yield from (match.expand(rest) for pattern, rest in _BRACED_ENDS if (match := pattern.search(last)))


def _reindented(line: str, unit: str, known: Container[str]) -> str:
    white_space = indent_of(line)
    return line if white_space in known else reindent(white_space, unit) + line[len(white_space) :]


def _is_aligned(line: str, unit: str) -> bool:
    return unit == "\t" and _ALIGNED.match(line) is not None
