"""Definitions that a file imports from its own repository: the heads of the functions and classes that it names.

Python and the JavaScript family; what a module means elsewhere takes more than its name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from tree_sitter import Node

from lsp_server.context.chunks import Chunk
from lsp_server.syntax.grammars import MAX_PARSED_CHARS, Grammar, find_grammar
from lsp_server.syntax.parsed_text import ParsedText

_MAX_DEFINITION_LINES = 12
_SCRIPT_ENDINGS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")
_FROM_IMPORT = re.compile(r"^\s*+from\s++(\.*+)([\w.]*+)\s++import\s++(.*)", re.DOTALL)
_SCRIPT_SOURCE = re.compile(r"(?<=[\s}])from\s*+[\"'](\.[^\"']*+)[\"']")

Exists = Callable[[str], bool]


def imported_definitions(path: str, text: str, files: Mapping[str, str]) -> list[Chunk]:
    """The heads of what the file at `path` imports by name from `files` (path → text), in the order of its imports."""
    grammar = find_grammar(path)
    if grammar is None or not grammar.imports or len(text) > MAX_PARSED_CHARS:
        return []
    chunks: list[Chunk] = []
    for source, names in _imports(path, text, grammar, files.__contains__):
        chunks += _definitions(source, files[source], names)
    return chunks


def _imports(path: str, text: str, grammar: Grammar, exists: Exists) -> Iterator[tuple[str, list[str]]]:
    root = ParsedText(text, grammar).root
    for node in root.children:
        if node.type not in grammar.imports or node.text is None:
            continue
        statement = node.text.decode("utf-8", "replace")
        found = (
            _python_import(path, statement, exists) if grammar.is_indented else _script_import(path, statement, exists)
        )
        if found is not None:
            yield found


def _python_import(path: str, statement: str, exists: Exists) -> tuple[str, list[str]] | None:
    match = _FROM_IMPORT.match(statement)
    if match is None:
        return None
    dots, module, names = match.groups()
    folder = posixpath.dirname(path)
    for _ in range(len(dots) - 1):
        folder = posixpath.dirname(folder)
    relative = module.replace(".", "/")
    # An absolute module may lie below any folder above the file, as with a `src` layout.
    folders = [folder] if dots else [*_above(folder), "src"]
    for start in folders:
        for candidate in (f"{relative}.py", f"{relative}/__init__.py"):
            source = posixpath.normpath(posixpath.join(start, candidate))
            if source != path and exists(source):
                return source, _names(names)
    return None


def _script_import(path: str, statement: str, exists: Exists) -> tuple[str, list[str]] | None:
    match = _SCRIPT_SOURCE.search(statement)
    if match is None or not statement.startswith("import"):
        return None
    names, module = statement.removeprefix("import")[: match.start() - len("import")].strip(), match.group(1)
    start = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
    for ending in _SCRIPT_ENDINGS:
        if exists(start + ending):
            return start + ending, _names(names)
    return None


def _above(folder: str) -> list[str]:
    folders = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        folders.append(folder)
    return folders


def _names(text: str) -> list[str]:
    """Names as they are called where they are defined, without those that they are given here."""
    return [name for part in re.sub(r"[(){}\\]", " ", text).split(",") if (name := part.strip().split(" ")[0].strip())]


def _definitions(path: str, text: str, names: list[str]) -> Iterator[Chunk]:
    grammar = find_grammar(path)
    if grammar is None or len(text) > MAX_PARSED_CHARS:
        return
    lines = text.split("\n")
    for node in _top_level(ParsedText(text, grammar).root, grammar):
        name = node.child_by_field_name("name")
        if name is not None and name.text is not None and name.text.decode("utf-8", "replace") in names:
            first, last = node.start_point[0], min(node.end_point[0], node.start_point[0] + _MAX_DEFINITION_LINES - 1)
            yield Chunk(path=path, line=first, text="\n".join(lines[first : last + 1]))


def _top_level(root: Node, grammar: Grammar) -> Iterator[Node]:
    for node in root.children:
        inner = node.children if node.type in ("decorated_definition", "export_statement") else [node]
        yield from (child for child in inner if child.type in grammar.definitions)
