"""Inputs that once made a reader fail (benchmarks/robustness/fuzz.py), and a few changed ones of each reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.fuzzing.readers import READERS
from testbed.fuzzing.trial import MAX_S, judge, run

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.bin"))


def test_the_corpus_is_there() -> None:
    """A reader has a folder as soon as one of its inputs has failed."""
    assert INPUTS
    assert {name.split("/")[0] for name in INPUTS} <= READERS.keys()


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_once_failed_is_accepted_or_refused(name: str, tmp_path: Path) -> None:
    """With ten times the processor time, since the first input may import libraries, and processors are not alike."""
    with READERS[name.split("/")[0]](tmp_path) as reader:
        outcome, why = judge(reader, (CORPUS / name).read_bytes(), max_s=10 * MAX_S)
    assert outcome != "failed", why


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_few_changed_inputs_are_tried(name: str) -> None:
    figures = run(name, 20, seed=7)
    assert figures["accepted"] + figures["refused"] + figures["failed"] == 20
    assert [kind for kind in figures["failures"] if kind != "it took"] == []
