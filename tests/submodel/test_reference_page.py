from __future__ import annotations

from pathlib import Path

from submodel.reference_page import render_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_current() -> None:
    again = "python -m submodel.reference_page > docs/reference.md"
    assert PAGE.read_text("utf-8") == render_reference(), f"run: {again}"


def test_every_command_is_on_it() -> None:
    text = render_reference()
    for command in ("build", "serve", "complete", "export", "pack", "unpack", "eval", "bench"):
        assert f"## `submodel {command}`" in text
    assert "--provider" in text
