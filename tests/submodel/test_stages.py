"""Finished stages are not repeated; interrupted and changed ones are."""

import pytest

from contract.console import StageDisplay
from submodel.build.stages import Stages, key_of


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, advance):
        self.calls += 1
        advance(1, 1)
        return {"call": self.calls}


def run(folder, key, make, outputs=(), *, force=False):
    with StageDisplay() as display:
        return Stages(folder, display, force=force).run("stage", key, make, outputs)


def test_a_finished_stage_is_kept_until_its_key_changes(tmp_path):
    make = Counter()
    first = run(tmp_path, "a", make)
    kept = run(tmp_path, "a", make)
    assert (first.is_fresh, kept.is_fresh, make.calls) == (True, False, 1)
    assert kept.result == {"call": 1}
    assert run(tmp_path, "b", make).result == {"call": 2}


def test_force_and_missing_outputs_repeat_it(tmp_path):
    counter = Counter()
    output = tmp_path / "model"

    def make(advance):
        output.mkdir(exist_ok=True)
        return counter(advance)

    run(tmp_path, "a", make, [output])
    assert run(tmp_path, "a", make, [output], force=True).is_fresh
    output.rmdir()
    assert run(tmp_path, "a", make, [output]).is_fresh
    assert counter.calls == 3
    assert not run(tmp_path, "a", make, [output]).is_fresh


def test_an_interrupted_stage_counts_as_not_run_even_if_an_earlier_one_was(tmp_path):
    run(tmp_path, "a", Counter())

    def fail(advance):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "b", fail)
    assert run(tmp_path, "a", Counter()).is_fresh


def test_a_damaged_record_is_no_record(tmp_path):
    run(tmp_path, "a", Counter())
    (tmp_path / "stage.json").write_text("{")
    assert run(tmp_path, "a", Counter()).is_fresh


def test_keys_tell_inputs_apart_whatever_their_order():
    assert key_of(a=1, b=2) == key_of(b=2, a=1)
    assert key_of(a=1) != key_of(a=2)
