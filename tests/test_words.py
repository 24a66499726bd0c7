"""Pages and code use none of the phrases in the last table of CONTRIBUTING.md; a file name names one file.

In a page, code is left out. Of Python and TypeScript, comments and strings are read; of package.json, everything.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from tests.test_release import needs_all_files

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
HEADING = "## Phrases that the pages don't use"

# The first is a log of dated experiments, the second is a study of its own, the others are generated from the code.
UNCHECKED = {"LOG.md", "paper.md", "options.md", "reference.md"}

# Packages whose comments and strings are read.
COVERED = ("contract", "builder", "exporters", "lsp_server", "submodel", "laboratory", "fleet")
# Files where a phrase has another meaning: a table of strings, a pattern, matrices of a feed-forward layer.
OTHER_MEANINGS = {
    "builder/pruning/vocabulary.py": "pieces",
    "contract/repository/secret_forms.py": "recovery",
    "exporters/rotation.py": "gate",
}
# Python's own, pytest's own, a program's commands: a name that its place gives.
SHARED_NAMES = {"__init__.py", "__main__.py", "app.py", "conftest.py"}

# Since Python 3.12 a formatted string is several tokens.
STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
# A comment, a string or a template of TypeScript. Regular expressions are matched too, since they may hold a quote.
TYPESCRIPT = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?<=[(,=:!&|?{;\n])\s*/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\\\n\[])+/
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<template>`(?:\\.|\$\{(?:[^{}`]|`[^`]*`)*\}|\$(?!\{)|[^`\\$])*`)""",
    re.DOTALL | re.VERBOSE,
)
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`]*`", re.DOTALL | re.MULTILINE)


def banned_phrases() -> list[str]:
    _, found, table = CONTRIBUTING.read_text("utf-8").partition(HEADING)
    assert found, f"{CONTRIBUTING} has no heading {HEADING!r}"
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [phrase for cell in rows for phrase in re.findall(r"`([^`]+)`", cell)]


def pages() -> list[Path]:
    extension = ROOT / "vscode-extension"
    documents = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in UNCHECKED)
    walkthrough = sorted((extension / "media" / "walkthrough").glob("*.md"))
    fronts = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*fronts, extension / "README.md", *walkthrough, *documents]


def pattern(phrase: str) -> re.Pattern[str]:
    """Whole words in any case; a space also matches the end of a line, and `N` a number."""
    words = r"\s+".join(r"\d+" if word == "N" else re.escape(word) for word in phrase.split())
    return re.compile(rf"(?<![\w-]){words}(?![\w-])", re.IGNORECASE)


def find_banned(text: str, phrases: list[str]) -> list[tuple[int, str]]:
    """Return the line (from 1) and the phrase of each one that stands outside of code."""
    prose = CODE.sub(lambda code: re.sub(r"[^\n]", "`", code.group()), text)
    found = [(match.start(), phrase) for phrase in phrases for match in pattern(phrase).finditer(prose)]
    return [(prose.count("\n", 0, start) + 1, phrase) for start, phrase in sorted(found)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_banned_phrase(page: Path) -> None:
    found = find_banned(page.read_text("utf-8"), banned_phrases())
    name = page.relative_to(ROOT)
    report = "\n".join(f"{name}:{line}: {phrase!r}" for line, phrase in found)
    assert not found, f"CONTRIBUTING.md has another word for each:\n{report}"


def python_prose(text: str) -> str:
    """Comments and strings at their lines, without the braces of f-strings and strings that hold no space."""
    lines = [""] * (text.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type in STRINGS and " " in token.string):
            words = re.sub(r"\{[^{}\n]*\}", "…", token.string).split("\n")
            for number, line in enumerate(words, start=token.start[0] - 1):
                lines[number] += " " + line
    return "\n".join(lines)


def typescript_prose(text: str) -> str:
    """Comments and strings at their lines, without the braces of templates and strings that hold no space."""
    lines = [""] * (text.count("\n") + 1)
    for match in TYPESCRIPT.finditer(text):
        words = match["comment"] or match["string"] or re.sub(r"\$\{[^{}]*\}", "…", (match["template"] or "")[1:-1])
        if match["comment"] or " " in words:
            for number, line in enumerate(words.split("\n"), start=text.count("\n", 0, match.start())):
                lines[number] += " " + line
    return "\n".join(lines)


def sources(package: str) -> list[tuple[str, str]]:
    """Name and prose of each file of a package. documents.ts is left out: it is made from contract/documents.py."""
    if package == "vscode-extension":
        description = ROOT / package / "package.json"
        code = sorted(path for path in (ROOT / package / "src").rglob("*.ts") if path.name != "documents.ts")
        texts = [(path, typescript_prose(path.read_text("utf-8"))) for path in code]
        texts.append((description, description.read_text("utf-8")))
    else:
        texts = [(path, python_prose(path.read_text("utf-8"))) for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path.relative_to(ROOT).as_posix(), text) for path, text in texts]


@pytest.mark.parametrize("package", [*COVERED, pytest.param("vscode-extension", marks=needs_all_files)])
def test_code_has_no_banned_phrase(package: str) -> None:
    found = []
    for name, prose in sources(package):
        banned = [phrase for phrase in banned_phrases() if phrase != OTHER_MEANINGS.get(name)]
        found += [f"{name}:{line}: {phrase!r}" for line, phrase in find_banned(prose, banned)]
    assert not found, "CONTRIBUTING.md has another word for each:\n" + "\n".join(found)


def test_prose_of_python_is_its_comments_and_strings() -> None:
    text = 'gate = {"gate": 1}  # a gate\ndef f():\n    """A\n    rival."""\n    return f"no gate {gate}"\n'
    assert find_banned(python_prose(text), ["rival", "gate"]) == [(1, "gate"), (4, "rival"), (5, "gate")]


def test_prose_of_typescript_is_its_comments_and_strings() -> None:
    text = """// a gate's
const gate = 'gate'; /* a
rival */
const quoted = /it's a gate/u;
const text = `a gate of
${rival} rivals`; const name = "the \\"gate\\"";
"""
    assert find_banned(typescript_prose(text), ["rival", "gate"]) == [
        (1, "gate"),
        (3, "rival"),
        (5, "gate"),
        (6, "gate"),
    ]


def test_no_two_files_share_a_name() -> None:
    folders = (*COVERED, "benchmarks", "tests")
    names = Counter(path.name for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert [name for name, count in names.items() if count > 1 and name not in SHARED_NAMES] == []


@pytest.mark.parametrize("phrase", banned_phrases())
def test_each_phrase_is_found_in_any_case_and_over_the_end_of_a_line(phrase: str) -> None:
    phrase = phrase.replace("N", "24")
    text = f"# A page\n\nIt {phrase.upper().replace(' ', chr(10), 1)} here.\n"
    assert any(line == 3 for line, _ in find_banned(text, banned_phrases()))
