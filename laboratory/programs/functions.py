"""Python functions whose body can be taken out and put back: found with `ast`, kept as places in the file's text.

A function is a `def` at the top of a module or of a class; a `def` inside of another function is a part of that one.
Bodies are whole lines without the docstring. A body counts only if `cut_body` leaves it whole: a text that goes on left
of the body's indentation (in a string over several lines, say) would be lost from the true answer, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from laboratory.programs.completer import ProgramRequest

_Definition = ast.FunctionDef | ast.AsyncFunctionDef
BLANK: Final = "raise NotImplementedError"
# A test that is blanked fails, whatever the model does.
_TEST_FILE: Final = re.compile(r"(^|/)tests?/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function's body: characters `start` to `end` of the file's text, from after its first indentation."""

    path: str  # posix, relative to the repository
    name: str  # with its classes: Shelf.add
    text: str  # the whole file
    start: int
    end: int  # the end of the body's last line, before the newline
    indent: str

    @property
    def body(self) -> str:
        """The body's text; its first line begins after the indentation."""
        return self.text[self.start : self.end]

    def with_body(self, body: str) -> str:
        """Return the file with another body. White space before its first line is dropped: the file has it already."""
        return self.text[: self.start] + body.lstrip(" \t") + self.text[self.end :]

    def request(self, max_new_tokens: int) -> ProgramRequest:
        """Return the request of the file up to and with the body's indentation, and of what follows the body."""
        return ProgramRequest(
            prefix=self.text[: self.start],
            suffix=self.text[self.end :],
            cut=lambda answer: cut_body(answer, self.indent),
            max_new_tokens=max_new_tokens,
            path=self.path,
        )


def is_test_file(path: str) -> bool:
    """Return whether a Python file holds tests, by the names that pytest uses."""
    return _TEST_FILE.search(PurePosixPath(path).as_posix()) is not None


def cut_body(answer: str, indent: str) -> str:
    """Return the answer up to the first line that is indented less than `indent`; blank lines never end it."""
    position = answer.find("\n")
    while position >= 0:
        newline = answer.find("\n", position + 1)
        line = answer[position + 1 : newline if newline >= 0 else len(answer)]
        if line.strip() and not line.startswith(indent):
            return answer[:position]
        position = newline
    return answer


def find_functions(path: str, text: str, *, min_lines: int, max_lines: int) -> tuple[Function, ...]:
    """Functions with bodies of `min_lines` to `max_lines` lines, in the file's order; () where it is no Python.

    `text` has LF line ends; a file with other ones gives () too, since `ast` counts its lines differently.
    """
    if "\r" in text or "\f" in text:
        return ()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: it is nested too deeply
        return ()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found = []
    for name, node in _definitions(tree, ""):
        statements = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        if not statements:
            continue
        first, last = _first_line(statements[0]), statements[-1].end_lineno or 0
        if not min_lines <= last - first + 1 <= max_lines:
            continue
        line_start, end = starts[first - 1], text.find("\n", starts[last - 1])
        end = len(text) if end < 0 else end
        line = text[line_start:end].split("\n", 1)[0]
        indent = line[: len(line) - len(line.lstrip())]
        if not indent or statements[0].col_offset != len(indent):  # it shares a line with the signature or docstring
            continue
        function = Function(path=path, name=name, text=text, start=line_start + len(indent), end=end, indent=indent)
        if cut_body(function.body, indent) == function.body:
            found.append(function)
    return tuple(found)


def _definitions(node: ast.Module | ast.ClassDef, before: str) -> Iterator[tuple[str, _Definition]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _definitions(child, f"{before}{child.name}.")
        elif isinstance(child, _Definition):
            yield before + child.name, child


def _first_line(statement: ast.stmt) -> int:
    decorators: Sequence[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
