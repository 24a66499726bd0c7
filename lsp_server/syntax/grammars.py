"""The tree-sitter grammars that serving knows, each loaded when a file of its language is first completed."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from tree_sitter import Language

from contract.repository.languages import find_language

log = logging.getLogger(__name__)

MAX_PARSED_CHARS = 300_000  # a tenth of a second to parse; longer files are served without syntax


class NoTreeError(Exception):
    """There is no syntax tree of a text."""


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """A grammar and the names that its nodes have."""

    module: str
    function: str = "language"
    hole: str  # a statement that is valid wherever a statement is
    blocks: frozenset[str]  # bodies of functions and of control flow
    comments: frozenset[str] = frozenset({"comment"})
    strings: frozenset[str]
    is_indented: bool = False  # a header ends in a colon and its body is indented
    has_macros: bool = False  # so that right code may not parse
    has_tabs: bool = False  # its formatter indents with tabs


def _grammar(module: str, hole: str, blocks: str, strings: str, **more: str | bool) -> Grammar:
    names = {"comments": frozenset(str(more["comments"]).split())} if "comments" in more else {}
    return Grammar(
        module=module,
        hole=hole,
        blocks=frozenset(blocks.split()),
        strings=frozenset(strings.split()),
        function=str(more.get("function", "language")),
        is_indented=bool(more.get("is_indented", False)),
        has_macros=bool(more.get("has_macros", False)),
        has_tabs=bool(more.get("has_tabs", False)),
        **names,
    )


_TWO_COMMENTS = "line_comment block_comment"
_SCRIPT_STRINGS = "string template_string regex"
_C_STRINGS = "string_literal char_literal raw_string_literal system_lib_string"

_GRAMMARS = {
    "Python": _grammar("tree_sitter_python", "pass", "block", "string", is_indented=True),
    "JavaScript": _grammar("tree_sitter_javascript", "hole();", "statement_block", _SCRIPT_STRINGS),
    "TypeScript": _grammar(
        "tree_sitter_typescript", "hole();", "statement_block", _SCRIPT_STRINGS, function="language_typescript"
    ),
    "Java": _grammar(
        "tree_sitter_java",
        "hole();",
        "block constructor_body",
        "string_literal character_literal",
        comments=_TWO_COMMENTS,
    ),
    "C": _grammar("tree_sitter_c", "hole();", "compound_statement", _C_STRINGS, has_macros=True),
    "C++": _grammar("tree_sitter_cpp", "hole();", "compound_statement", _C_STRINGS, has_macros=True),
    "C#": _grammar(
        "tree_sitter_c_sharp",
        "hole();",
        "block",
        "string_literal character_literal verbatim_string_literal raw_string_literal interpolated_string_expression",
    ),
    "Go": _grammar(
        "tree_sitter_go", "hole()", "block", "interpreted_string_literal raw_string_literal rune_literal", has_tabs=True
    ),
    "Rust": _grammar(
        "tree_sitter_rust", "hole();", "block", "string_literal raw_string_literal char_literal", comments=_TWO_COMMENTS
    ),
    "PHP": _grammar(
        "tree_sitter_php", "hole();", "compound_statement", "string encapsed_string heredoc", function="language_php"
    ),
    "Ruby": _grammar("tree_sitter_ruby", "hole", "body_statement block_body then do", "string regex heredoc_body"),
}
_TSX = _grammar("tree_sitter_typescript", "hole();", "statement_block", _SCRIPT_STRINGS, function="language_tsx")

# Editors' names of the languages, for documents whose file names don't show it.
_LANGUAGE_IDS = {
    "python": "Python",
    "javascript": "JavaScript",
    "javascriptreact": "JavaScript",
    "typescript": "TypeScript",
    "java": "Java",
    "c": "C",
    "cpp": "C++",
    "csharp": "C#",
    "go": "Go",
    "rust": "Rust",
    "php": "PHP",
    "ruby": "Ruby",
}


def find_grammar(path: str, language_id: str | None = None) -> Grammar | None:
    """Return the grammar of a file by its path, else by the editor's name of its language."""
    if path.endswith(".tsx") or language_id == "typescriptreact":
        return _TSX
    if path.endswith(".h") and language_id != "c":
        return _GRAMMARS["C++"]  # which reads C as well, but for few words
    return _GRAMMARS.get(language_name(path, language_id) or "")


def language_name(path: str, language_id: str | None = None) -> str | None:
    """Return the language by the path, else by the editor's name of it."""
    language = find_language(PurePosixPath(path).as_posix())
    return language.name if language is not None else _LANGUAGE_IDS.get(language_id or "")


def load_language(grammar: Grammar) -> Language:
    """Return the grammar's parser tables; loading them takes a few milliseconds the first time.

    Raises NoTreeError if they don't load, as with a package that is missing or too old.
    """
    language = _load(grammar)
    if language is None:
        raise NoTreeError
    return language


@cache
def _load(grammar: Grammar) -> Language | None:
    """Return the grammar's parser tables, None if they don't load, which is logged once."""
    try:
        return Language(getattr(importlib.import_module(grammar.module), grammar.function)())
    except (ImportError, AttributeError, TypeError, ValueError, OSError) as error:
        log.warning("The grammar %s does not load (%s); its language is served without.", grammar.module, error)
        return None
