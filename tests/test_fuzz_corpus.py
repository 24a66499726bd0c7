"""Inputs that once made a reader fail (benchmarks/robustness/fuzz.py), and a few changed ones of each reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.fuzzing.reader import Reader
from testbed.fuzzing.readers import READERS
from testbed.fuzzing.trial import judge, run

CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture(params=sorted(READERS))
def named_reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Reader]]:
    with READERS[request.param](tmp_path) as reader:
        yield request.param, reader


def test_the_corpus_is_refused_in_one_sentence(named_reader: tuple[str, Reader]) -> None:
    name, reader = named_reader
    for path in sorted((CORPUS / name).glob("*.bin")):
        outcome, why = judge(reader, path.read_bytes())
        assert outcome != "failed" or why.startswith("it took"), f"{path.name}: {why}"  # no test asserts a time


def test_a_few_changed_inputs_are_tried(named_reader: tuple[str, Reader]) -> None:
    name, _ = named_reader
    figures = run(name, 20, seed=7)
    assert figures["accepted"] + figures["refused"] + figures["failed"] == 20
    assert [kind for kind in figures["failures"] if kind != "it took"] == []
