"""What a file of runtimes says of cells that another run left."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.portability import runtimes
from testbed.runtimes import RuntimeAnswers


def test_cells_of_another_run_keep_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"runtime": "onnxruntime-node", "precision": "int8", "file": "a"}
    earlier = {"command": "first", "machine": {"processor": "another"}, "versions": {}, "cells": [kept]}
    (tmp_path / "runtimes-x.json").write_text(json.dumps(earlier))
    written: list[dict[str, Any]] = []
    monkeypatch.setattr("sys.argv", ["runtimes", "model", "bundle", "--name", "x", "--only", "llama"])
    for name, value in {
        "RESULTS": tmp_path,
        "write_result": lambda _, document: written.append(document),
        "read_bundle": lambda _: SimpleNamespace(graphs={}),
        "read_prompts": lambda _: [],
        "ask_transformers": lambda *_: RuntimeAnswers(answers=[], seconds=0.0, version=""),
        "ask_llama_cpp": lambda *_: RuntimeAnswers(answers=[], seconds=0.0, version="b1"),
    }.items():
        monkeypatch.setattr(runtimes, name, value)

    runtimes.main()

    document = written[-1]
    assert (document["command"], document["machine"]) == ("first", {"processor": "another"})
    assert document["cells"][0] == kept
    assert {one["command"] for one in document["cells"][1:]} == {
        "python -m benchmarks.portability.runtimes model bundle --name x --only 'llama'"
    }
    assert all("machine" in one and "versions" in one for one in document["cells"][1:])
