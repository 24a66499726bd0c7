from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from submodel.app import app
from submodel.reference_page import PROGRAMS, render_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_current() -> None:
    again = "python -m submodel.reference_page > docs/reference.md"
    assert PAGE.read_text("utf-8") == render_reference(), f"run: {again}"


def test_every_command_is_on_it() -> None:
    text = render_reference()
    for program, commands in PROGRAMS.items():
        assert all(f"## `{program} {command.name}`" in text for command in commands.registered_commands)
    assert "--provider" in text


def test_all_but_serve_take_json() -> None:
    """As README.md says."""
    sections = render_reference().split("\n## `")[1:]
    assert len(sections) == sum(len(one.registered_commands) for one in PROGRAMS.values())
    assert [one.partition("`")[0] for one in sections if "\n| `--json` |" not in one] == ["submodel serve"]


def test_help_shows_every_command_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", False)  # true on GitHub: read when typer was imported
    groups = [one.rich_help_panel for one in app.registered_commands]
    assert list(dict.fromkeys(groups)) == ["Every day", "Share", "Measure"]
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100"}).output
    assert [line.split("─ ")[1].split(" ─")[0] for line in shown.splitlines() if line.startswith("╭")] == [
        "Options",
        *dict.fromkeys(groups),
    ]
    assert all(f"│ {one.name} " in shown for one in app.registered_commands)
