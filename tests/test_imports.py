"""Tests and benchmarks share `testbed` and never import each other; the product imports none of the three."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = {"tests", "benchmarks", "testbed"}
PRODUCT = sorted(path.parent.name for path in ROOT.glob("*/py.typed"))
ALLOWED = {"tests": {"tests", "testbed"}, "benchmarks": {"benchmarks", "testbed"}, "testbed": {"testbed"}}


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file and the first name of each module that it imports."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            yield from ((path.relative_to(ROOT).as_posix(), name.partition(".")[0]) for name in names)


@pytest.mark.parametrize("folder", [*PRODUCT, *ALLOWED])
def test_each_folder_imports_only_what_it_may(folder: str) -> None:
    found = list(imported(ROOT / folder))
    assert len(found) > 10
    assert [one for one in found if one[1] in OUTSIDE - ALLOWED.get(folder, set())] == []
