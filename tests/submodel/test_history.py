"""The record of what a model has seen, where it reads other files."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from contract.errors import BuildError
from submodel.build import history
from submodel.build.history import made_at


def test_a_manifest_that_cannot_be_read_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_at(tmp_path) is None
    (tmp_path / "manifest.json").write_text("{}")
    monkeypatch.setattr(history, "hash_file", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(
        BuildError, match=r"manifest\.json can't be read \(Permission denied\); check its permissions\."
    ):
        made_at(tmp_path)
