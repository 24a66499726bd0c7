"""The documents that cross a boundary: their schema is current, and what programs write has their types."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from contract.documents import BuildReport, Manifest
from submodel.schema_files import render_schema

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "documents.schema.json"


def test_the_schema_is_current() -> None:
    again = "python -m submodel.schema_files > docs/schema/documents.schema.json, then npm run types"
    assert SCHEMA.read_text("utf-8") == render_schema(), f"run: {again}"


def test_every_part_is_described_and_open() -> None:
    parts = json.loads(render_schema())["$defs"]
    assert all(part["description"] and "\n    " not in part["description"] for part in parts.values())
    assert not any("additionalProperties" in part for part in parts.values()), "more keys are welcome"


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (Manifest, {"schema": 1, "files": {}}),
        (Manifest, {"schema": 2, "files": {"a": {"bytes": "1", "sha256": ""}}}),
        (BuildReport, {"schema": 2, "models": []}),
    ],
)
def test_a_document_of_another_form_is_reported_from_ours(kind: type, document: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, kind)
