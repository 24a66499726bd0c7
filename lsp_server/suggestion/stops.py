"""Stops: where an answer ends. They are asked after each token, so that the model need not go on.

Each stop is a pure function of the text from the cursor on. It returns the index at which to cut, with a reason, or
None. The last line of a growing text is unfinished, so no stop may judge it as a whole line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lsp_server.request import CompletionRequest
from lsp_server.suggestion.brackets import CLOSING, OPENERS, SIDE_CHARS, open_at_end
from lsp_server.suggestion.indentation import columns_of, leaves_block, width

MAX_LINES = 8  # of a block; more is rarely right and never read
_MIN_WORD_CHARS = 4  # shorter lines, such as `else:` or `}`, repeat in good code
# They close as brackets do: the same word at another depth closes another block. "end)", "End If", "endif()", "done;".
_CLOSING_WORDS = re.compile(r"(?i)(?:@?+end[a-z]*+(?: [ \w]*+)?+(?:\([^()]*+\))?+|fi|done|esac)[)\]};,.]*+")
# So do these, but their depth is not always shown: "#endif", "{% endif %}", "{{- end }}", "{{/if}}", "{/if}",
# "<% end %>", "\end{x}".
_CLOSING_MARK = re.compile(
    r"#\s*+endif\b.*+|\{%[-+~]?+\s*+end[^%]*+%\}|\{\{[-~]?+\s*+(?:end\b|/)[^{}]*+\}\}|\{/\w++\}"
    r"|<%-?+\s*+(?:end\b|\})[^%]*+%>|\\end\{[^{}]*+\}"
)
# And these, which go on with the statement of their depth.
_BRANCH = re.compile(r"(?:\}\s*+|\{:)?+(?:else|elif|elsif|catch|except|rescue|finally|ensure)\b.*+")
_MAX_COMPARED_CHARS = 2000  # of a line, token by token: after each token of an answer, which is shorter
_REPEATED = re.compile(r"(?s)(.{4,60}?)\1\1")  # three times in a row
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CLOSING_TAG = re.compile(r"</[\w.:-]*>[;,)]*")
_TAGS = re.compile(r"(?:<[^<>]*>)++")  # a line of nothing else may repeat: cells of a table
_GOES_ON = re.compile(r"^\s*+(?:#\s*+(?:if|el|endif)|(?:case|default)\b)")  # of a body, though indented less
# The head of a definition or of an element, and no more: the next one has it, too.
_HEAD = re.compile(r"@[\w.]++|#\[[\w:]++\]|/// <summary>|/\*\*|<[A-Za-z](?:[\w.:-]*+|[^<>]*+(?<!/)>)")
_ATTRIBUTE = re.compile(r"\[\w++\]")  # of C#; without a grammar it may be a table's name, as in TOML
# Behind the parameters the type of the result may stand: "): Int {", ") -> Int {", ") async {", ") = {".
_BODY_HEADER = re.compile(r"(?:\)[^(){}=;]{0,60}+=?|->|=>|\b(?:else|try))\s*+\{\s*+$")
_IMPORT = re.compile(r"^\s*+(?:(?:import|from|use|using|require)\b|#\s*+include\b)")
_VALUE = re.compile(r"\b(?:None|True|False|null|true|false|\d\w*+)\b")  # lines of nothing else may repeat: rows of data
_MIN_REPEATED_CHARS = 18  # of all three: "0, 0, 0" is data
_ITEM = re.compile(r"^\s*+(?:[\w.:]++\s*+[,|]|[,|]\s*+[\w.:]++)\s*+$")  # such as "float, ": good lists repeat it
_MOST_ITEMS, _ITEM_CHARS = 8, 48  # so many items, or as many as have so many characters, are too much


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where the text ends, and why."""

    at: int
    detail: str


Stop = Callable[[str, CompletionRequest, bool], Cut | None]


def newline(text: str, request: CompletionRequest, is_final: bool) -> Cut | None:
    """End after one line; if a block is wanted, at a blank line or after MAX_LINES."""
    if not request.is_multi_line:
        index = text.find("\n")
        return Cut(at=index, detail="one line is wanted here") if index >= 0 else None
    position, lines = 0, 0
    for match in re.finditer(r"\n", text):
        lines += text[position : match.start()].strip() != ""
        if lines == 0 and request.is_blank_before:
            return Cut(at=0, detail="the block begins with a blank line")
        is_blank_line = match.start() > 0 and not text[position : match.start()].strip() and lines > 0
        if is_blank_line:
            return Cut(at=position - 1, detail="a blank line ends the block")
        if lines == MAX_LINES:
            return Cut(at=match.start(), detail=f"{MAX_LINES} lines are enough")
        position = match.end()
    return None


def dedent(text: str, request: CompletionRequest, is_final: bool) -> Cut | None:
    """End a block before a line that is indented less than it. Its closing brace belongs to it, unless it is there."""
    if not request.is_multi_line:
        return None
    own = width(request.indent)
    is_header = not request.is_blank_before
    position = text.find("\n") + 1
    while 0 < position < len(text):
        end = text.find("\n", position)
        is_whole = end >= 0 or is_final
        line = text[position : end if end >= 0 else len(text)]
        content = line.strip()
        indent = columns_of(line)
        if content and (indent < own or (is_header and indent == own)):
            # Right of a header it may always come. What is too much `syntax` cuts: a namespace may not be indented.
            missing = missing_closer(request)
            is_closed = (
                not is_header and indent == missing and content[0] == OPENERS[request.previous_line.rstrip()[-1]]
            )
            if is_closed or (set(content) <= CLOSING and indent == (own if is_header else missing)):
                if not is_whole:
                    return None
                if content[-1] in OPENERS:  # `} else {`
                    return Cut(at=position - 1, detail="the line behind the block opens another")
                if line.rstrip() == request.next_line.rstrip() and not _waits_for(content, text[:position]):
                    return Cut(at=position - 1, detail="the line that closes the block stands below")
                stop = position + len(line.rstrip())
                return Cut(at=stop, detail="the block is closed") if stop < len(text) else None
            return Cut(at=position - 1, detail="the next line is indented less than the block")
        if end < 0:
            return None
        position = end + 1
    return None


def missing_closer(request: CompletionRequest) -> int | None:
    """Return the columns before the closer that the header above a blank line lacks, as far as indentation says so."""
    header, below = request.previous_line, request.next_line
    closer, columns = OPENERS.get(header.rstrip()[-1:]), columns_of(header)
    if closer is None or not request.is_blank_before or request.line_after.strip():
        return None
    is_closed = below.lstrip().startswith(closer) and columns_of(below) == columns
    is_known = columns_of(below) <= columns < width(request.indent) and not _GOES_ON.match(below)
    return columns if is_known and not is_closed else None


def begins_body(request: CompletionRequest) -> bool:
    """Return whether braces show that a body begins at the cursor, for languages without a grammar.

    Its header ends in a brace as those of functions and of control flow do. Its closer stands below at the header's
    depth, or right of the cursor, or is missing.
    """
    header = request.previous_line if request.is_blank_before else request.line_before
    after, below = request.line_after.strip(), request.next_line
    if not _BODY_HEADER.search(header[-SIDE_CHARS:]) or set(after) - CLOSING:
        return False
    is_below = below.lstrip().startswith("}") and columns_of(below) == columns_of(header)
    return after.startswith("}") or is_below or missing_closer(request) is not None


def next_line(text: str, request: CompletionRequest, is_final: bool) -> Cut | None:
    """End before the line that already stands below the cursor. A closer is the same one at the same depth alone."""
    below = request.next_line.strip()
    is_closer = below != "" and (set(below) <= CLOSING or _closes(below))
    if not is_closer and _is_head(below, request) and _is_blank_below(request):
        return None
    if not is_closer and (len(below) < _MIN_WORD_CHARS or not any(map(str.isalnum, below))):
        return None
    position = 0
    while position <= len(text):
        end = text.find("\n", position)
        if end < 0 and not is_final:
            return None
        line = text[position : end if end >= 0 else len(text)]
        whole, closed = _in_document(line, request, is_first=position == 0, is_last=end < 0)
        if is_closer:
            is_there = whole.rstrip() == request.next_line.rstrip() and not _waits_for(below, text[:position])
        else:
            line_below = _as_compared(request.next_line)
            is_same = any(_is_same(_as_compared(one), line_below) for one in {whole, closed})
            is_there = is_same and not _leaves_deeper(whole, request)
        if is_there:
            return Cut(at=max(0, position - 1), detail=f"the next line says so already: {shorten(below)}")
        if end < 0:
            return None
        position = end + 1
    return None


def _is_head(content: str, request: CompletionRequest) -> bool:
    """Return whether a line is what a definition or an element begins with, and no more."""
    is_attribute = request.grammar is not None and _ATTRIBUTE.fullmatch(content) is not None
    return is_attribute or _HEAD.fullmatch(content) is not None


def _is_blank_below(request: CompletionRequest) -> bool:
    """Return whether the line below the cursor's is blank."""
    start = request.offset + len(request.line_after) + 1
    end = request.text.find("\n", start)
    return end >= 0 and not request.text[start:end].strip()


def _in_document(line: str, request: CompletionRequest, *, is_first: bool, is_last: bool) -> tuple[str, str]:
    """Return a line of the answer behind what is typed; and the same with what stands right of the cursor."""
    whole = f"{request.line_before}{line}" if is_first else line
    return whole, f"{whole}{request.line_after}" if is_first and is_last else whole


def _waits_for(closers: str, text: str) -> bool:
    """Return whether a text has opened the bracket that `closers` begins with."""
    return closers[:1] in open_at_end(text)


def _leaves_deeper(line: str, request: CompletionRequest) -> bool:
    """Return whether a line leaves a block that is deeper than the line below, as far as indentation says so."""
    is_indented = request.grammar is not None and request.grammar.is_indented
    return is_indented and leaves_block(line) and columns_of(line) > columns_of(request.next_line)


def repetition(text: str, request: CompletionRequest, is_final: bool) -> Cut | None:
    """End at a text that comes three times in a row, an item of a list more often, or at a line like the one above."""
    for match in _REPEATED.finditer(text):
        piece = match.group(1)
        is_long = len(match.group()) >= _MIN_REPEATED_CHARS and sum(map(str.isalpha, piece)) > 2
        most = min(_MOST_ITEMS, max(4, -(-_ITEM_CHARS // len(piece))))
        if is_long and (not _ITEM.fullmatch(piece) or text.startswith(piece * most, match.start())):
            return Cut(at=match.start() + len(piece), detail=f"{shorten(piece)} comes again and again")
    previous = _as_compared(request.previous_line)
    position = 0
    while True:
        end = text.find("\n", position)
        if end < 0 and not is_final:
            return None
        line = text[position : end if end >= 0 else len(text)]
        forms = [_as_compared(one) for one in _in_document(line, request, is_first=position == 0, is_last=end < 0)]
        whole = forms[0]
        is_import = _IMPORT.match(whole) is not None
        is_there = previous in forms or (is_import and any(one in forms for one in _imports_above(request)))
        content = whole.strip()
        is_equal = len(content) >= _MIN_WORD_CHARS and is_there and any(map(str.isalpha, _VALUE.sub("", content)))
        if is_equal and not _TAGS.fullmatch(content) and not _CLOSING_MARK.fullmatch(content):
            return Cut(at=max(0, position - 1), detail=f"a line repeats one above it: {shorten(whole)}")
        if end < 0:
            return None
        previous = whole or previous
        position = end + 1


def _imports_above(request: CompletionRequest) -> Iterator[str]:
    """Yield the imports directly above the cursor's line, the nearest first."""
    end = request.line_start - 1
    while end > 0:
        start = request.text.rfind("\n", 0, end) + 1
        line = request.text[start:end]
        if not _IMPORT.match(line):
            return
        yield line.strip()
        end = start - 1


def _closes(content: str) -> bool:
    """Return whether a line closes a block with a word."""
    return (_CLOSING_WORDS.fullmatch(content) or _CLOSING_MARK.fullmatch(content)) is not None


def _as_compared(line: str) -> str:
    """Return a line without its indentation, but keep that of one that closes, or branches: nested ones are alike."""
    content = line.strip()
    keeps_depth = _CLOSING_TAG.fullmatch(content) or _closes(content) or _BRANCH.fullmatch(content)
    depth = columns_of(line) if keeps_depth else 0
    return " " * depth + content


def _is_same(line: str, other: str) -> bool:
    """Return whether two lines are equal but for white space between words, and a comma or semicolon at the end."""
    if line == other:
        return True
    if columns_of(line) != columns_of(other):
        return False
    if max(len(line), len(other)) > _MAX_COMPARED_CHARS or _CLOSING_TAG.fullmatch(other.strip()):
        return False
    one, another = (_TOKEN.findall(text.rstrip().rstrip(",;")) for text in (line, other))
    return one == another


def shorten(text: str) -> str:
    """Return a text as a rule's detail shows it: in quotes, and not long."""
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:39] + "…")
