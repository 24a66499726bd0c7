"""Text that the product reads and writes names its encoding: Windows' own differs from one country to the next.

CI sets PYTHONUTF8 on Windows, so that no other test would see it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("contract", "builder", "exporters", "lsp_server", "submodel", "laboratory", "fleet")
MODES = re.compile("[rwaxbt+]+")
ENCODINGS = {"read_text": 0, "write_text": 1}  # where an encoding stands


def is_unnamed(call: ast.Call) -> bool:
    """Whether a call reads or writes text without naming its encoding."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in named or None in named:
        return False
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ENCODINGS:
        return len(call.args) <= ENCODINGS[name]
    if name == "TextIOWrapper":
        return len(call.args) < 2
    if name in ("open", "fdopen"):
        place = 0 if isinstance(function, ast.Attribute) and name == "open" else 1
        mode = named.get("mode", call.args[place] if len(call.args) > place else ast.Constant("r"))
        known = mode.value if isinstance(mode, ast.Constant) else None  # else `open` of an archive, or of a web page
        return isinstance(known, str) and MODES.fullmatch(known) is not None and "b" not in known
    is_text = any(isinstance(named.get(one), ast.Constant) for one in ("text", "universal_newlines"))
    return is_text and name in {"run", "Popen", "check_output", "check_call", "call"}


def found_in(source: str) -> Iterator[int]:
    """The lines of calls that name no encoding."""
    return (node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and is_unnamed(node))


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('a')", True),
        ("path.open('rb')", False),
        ("open(name, 'w')", True),
        ("os.fdopen(handle, 'wb')", False),
        ("archive.open(entry)", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, encoding='utf-8')", False),
    ],
)
def test_what_counts_as_text_without_an_encoding(source: str, is_found: bool) -> None:
    assert bool(list(found_in(source))) is is_found


@pytest.mark.parametrize("package", PACKAGES)
def test_all_text_names_its_encoding(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in found_in(file.read_text("utf-8"))]
    assert found == []
