"""The JSON schema of the documents in `contract.documents`; a test compares docs/schema/ with it.

`python -m submodel.schema_files > docs/schema/documents.schema.json`, then `npm run types` in vscode-extension/ for the
TypeScript types. It needs msgspec, of the extra `dev`.
"""

from __future__ import annotations

import inspect
import json
from typing import Any, Final

import msgspec

from contract.documents import BuildProgress, BuildReport, Manifest, ServerStatus

DOCUMENTS: Final[dict[str, type]] = {
    "bundle.json": Manifest,
    "report.json": BuildReport,
    "progress": BuildProgress,
    "submodel/status": ServerStatus,
}


def render_schema() -> str:
    """The text of docs/schema/documents.schema.json: a property for each document, its parts as definitions."""
    references, parts = msgspec.json.schema_components(DOCUMENTS.values(), ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Documents",
        "description": "The documents of submodel, by where they stand. Generated from contract/documents.py.",
        "type": "object",
        "properties": dict(zip(DOCUMENTS, references, strict=True)),
        "$defs": {name: _with_plain_description(part) for name, part in sorted(parts.items())},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _with_plain_description(part: dict[str, Any]) -> dict[str, Any]:
    """Without a docstring's indentation, which Python keeps up to 3.12."""
    return {**part, "description": inspect.cleandoc(part["description"])}


if __name__ == "__main__":
    print(render_schema(), end="")
