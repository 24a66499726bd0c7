"""The answers of a run: appended to a file as they come, so that a killed run resumes, and written as one result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from builder.evaluation.metrics import is_exact

Key = tuple[str, str, str, str]  # repository, kind, rival, hash of the position


def is_right(text: str, truth: str) -> bool:
    """Return whether the first line of an answer is the rest of the line."""
    return is_exact(text.split("\n")[0], truth)


class Answers:
    """What was answered so far. Each line of the file is one answer, or one rival's origin."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[Key, dict[str, Any]] = {}
        self.origins: dict[tuple[str, str], list[dict[str, Any]]] = {}  # by repository and rival; one for each commit
        path.parent.mkdir(parents=True, exist_ok=True)
        whole, _, cut_off = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        for line in whole.splitlines():
            self._add(json.loads(line))
        if cut_off:  # by a kill
            path.write_bytes(whole + b"\n" if whole else b"")

    def begin(self, repository: str, rival: str, origin: Mapping[str, Any]) -> None:
        """Say what gives a rival's answers. Exits if earlier answers are of another build or file."""
        known = self.origins.get((repository, rival), [])
        if any(one["sha256"] != origin["sha256"] for one in known):
            raise SystemExit(
                f"{self._path} has answers of another {rival!r} for {repository}; move the file away first."
            )
        if not any(one["commit"] == origin["commit"] for one in known):
            self._append({"repository": repository, "rival": rival, "origin": dict(origin)})

    def has(self, repository: str, kind: str, rival: str, position: str) -> bool:
        """Return whether it was answered."""
        return (repository, kind, rival, position) in self.rows

    def put(self, **row: Any) -> None:
        """Keep an answer: repository, kind, rival, position, text, right, shown, milliseconds."""
        self._append(row)

    def _append(self, document: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document, ensure_ascii=True) + "\n")
        self._add(document)

    def _add(self, document: dict[str, Any]) -> None:
        if "origin" in document:
            self.origins.setdefault((document["repository"], document["rival"]), []).append(document["origin"])
        else:
            self.rows[tuple(document[key] for key in ("repository", "kind", "rival", "position"))] = document


def write_rows(path: Path, facts: Mapping[str, Any], **tables: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON document of facts and of tables, a row a line, so that two runs can be compared by line."""
    parts = [f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items()]
    for name, rows in tables.items():
        lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=True)}" for row in rows)
        parts.append(f" {json.dumps(name)}: [\n{lines}\n ]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")
