from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.context.chunks import MAX_LINES, chunk_around, similarity, split_chunks
from lsp_server.context.finder import NEAR_LINES, ContextFinder
from lsp_server.context.imports import imported_definitions
from lsp_server.context.recent import KEPT, RecentChunks
from lsp_server.context.repository_index import RepositoryIndex, read_index
from lsp_server.options import ContextOptions

OFF = ContextOptions()
SHAPES = '''class Box:
    """A box."""

    width: int


def area(box):
    return box.width


def other():
    pass
'''


@given(st.text("ab\n", max_size=400).map(lambda text: text.split("\n")))
def test_chunks_hold_all_of_a_file(lines: list[str]) -> None:
    text = "\n".join(lines)
    chunks = split_chunks("a.py", text)
    for chunk in chunks:
        assert chunk.text.split("\n") == lines[chunk.line : chunk.line + chunk.text.count("\n") + 1]
        assert chunk.text.count("\n") < MAX_LINES
    assert "".join(chunk.text for chunk in chunks).replace("\n", "") == text.replace("\n", "")


def test_chunk_around_a_place() -> None:
    text = "\n".join(map(str, range(200)))
    assert chunk_around("a", text, 0).line == 0
    middle = chunk_around("a", text, text.index("100"))
    assert (middle.line, middle.text.split("\n")[MAX_LINES // 2]) == (80, "100")
    assert chunk_around("a", text, len(text)).text.endswith("199")


def test_similarity_is_shared_of_all() -> None:
    assert similarity(frozenset("abc"), frozenset("bcd")) == pytest.approx(2 / 4)
    assert similarity(frozenset(), frozenset()) == 0


def test_recent_places_of_other_files_newest_first() -> None:
    recent = RecentChunks()
    for name in "abc":
        recent.note(f"{name}.py", f"in {name}\n", 0)
    recent.note("a.py", "in a, later\n", 3)
    assert [chunk.text for chunk in recent.newest(but="c.py")] == ["in a, later\n", "in b\n"]
    for index in range(KEPT + 5):
        recent.note(f"{index}.py", "x\n", 0)
    assert len(recent.newest(but="")) == KEPT


@pytest.mark.parametrize(
    ("path", "text", "files", "found"),
    [
        ("src/pack/main.py", "from pack.shapes import Box\n", {"src/pack/shapes.py": SHAPES}, ["class Box:"]),
        ("src/pack/main.py", "from .shapes import (\n    Box,\n    area as f,\n)\n", {"src/pack/shapes.py": SHAPES},
         ["class Box:", "def area(box):"]),
        ("pack/main.py", "from .shapes import Box\n", {"pack/shapes/__init__.py": SHAPES}, ["class Box:"]),
        ("pack/deep/main.py", "from ..shapes import area\n", {"pack/shapes.py": SHAPES}, ["def area(box):"]),
        ("main.py", "import os\nfrom elsewhere import Box\n", {"shapes.py": SHAPES}, []),
        ("src/main.ts", "import { area } from './shapes';\n",
         {"src/shapes.ts": "export function area(box: Box) {\n  return 1;\n}\n"}, ["export function area(box: Box) {"]),
        ("main.rb", "require 'shapes'\n", {"shapes.rb": "def area\nend\n"}, []),
    ],
)  # fmt: skip
def test_definitions_that_are_imported(path: str, text: str, files: dict[str, str], found: list[str]) -> None:
    assert [chunk.text.split("\n")[0] for chunk in imported_definitions(path, text, files)] == found


def test_similar_chunks_of_other_files() -> None:
    index = RepositoryIndex(
        texts={
            "near.py": "def compute_total(orders):\n    return sum(order.price for order in orders)\n",
            "far.py": "class Window:\n    def draw(self):\n        paint(self)\n",
            "here.py": "def compute_total(orders):\n",
        }
    )
    query = frozenset({"compute_total", "orders", "order", "price"})
    assert [chunk.path for chunk in index.similar(query, but="here.py")] == ["near.py"]


def finder() -> ContextFinder:
    one = ContextFinder()
    one.index = RepositoryIndex(
        texts={"shapes.py": SHAPES, "near.py": "compute_total = orders + prices\n", "main.py": ""}
    )
    one.recent.note("recent.py", "seen = 1\n", 0)
    return one


TEXT = "from shapes import Box\n\ncompute_total = orders\n"


def test_each_source_has_a_switch() -> None:
    sources = {}
    for name in ("recent", "imports", "similar"):
        snippets = finder().find("main.py", TEXT, len(TEXT), replace(OFF, **{name: True}))
        sources[name] = [(snippet.source, snippet.path) for snippet in snippets]
    assert sources == {
        "recent": [("recent", "recent.py")],
        "imports": [("imports", "shapes.py")],
        "similar": [("similar", "near.py")],
    }
    assert finder().find("main.py", TEXT, len(TEXT), OFF) == ()


ALL = ContextOptions(recent=True, imports=True, similar=True)


def test_order_is_that_of_files_so_that_the_cache_survives() -> None:
    snippets = finder().find("main.py", TEXT, len(TEXT), ALL)
    assert [snippet.path for snippet in snippets] == ["near.py", "recent.py", "shapes.py"]


def test_pieces_stay_while_the_cursor_is_near() -> None:
    one = finder()
    text = TEXT + "x\n" * 40
    first = one.find("main.py", text, len(TEXT), ALL)
    one.recent.note("newer.py", "newer = 1\n", 0)
    assert one.find("main.py", text, len(TEXT) + 2 * NEAR_LINES, ALL) is first
    moved = one.find("main.py", text, len(TEXT) + 2 * NEAR_LINES + 2, ALL)
    assert "newer.py" in {snippet.path for snippet in moved}


def test_budget_holds_and_the_surest_come_first() -> None:
    snippets = finder().find("main.py", TEXT, len(TEXT), replace(ALL, max_characters=60))
    assert [snippet.source for snippet in snippets] == ["recent", "imports"]
    assert sum(len(snippet.text) for snippet in snippets) <= 60


def test_a_repository_is_read_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('AWS_KEY = "AKIAQ4J5XW2B7T6M3NPL"\nregion = 1\n')
    assert read_index(tmp_path).texts == {"a.py": "region = 1\n"}
