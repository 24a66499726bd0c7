"""Inputs that once made a reader fail, and a few changed ones of each reader (`testbed/fuzzing/`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.fuzzing.reader import MAX_S, judge, run
from testbed.fuzzing.readers import READERS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.bin"))


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_once_failed_is_accepted_or_refused(name: str, tmp_path: Path) -> None:
    """With ten times the processor time, since the first input may import libraries, and processors are not alike."""
    with READERS[name.split("/")[0]](tmp_path) as reader:
        outcome, why = judge(reader, (CORPUS / name).read_bytes(), max_s=10 * MAX_S)
    assert outcome != "failed", why


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_few_changed_inputs_are_tried(name: str, tmp_path: Path) -> None:
    with READERS[name](tmp_path) as reader:
        outcomes = run(reader, 20, seed=7)
    assert outcomes.total() == 20
    assert [why for why in outcomes if why not in ("accepted", "refused") and not why.startswith("it took")] == []
