"""Which files middles are taken from."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.middle_bits import held_out_of
from builder.datasets import open_dataset
from testbed.python_files import write_python


def test_middles_are_of_files_that_the_build_held_out(tmp_path: Path) -> None:
    write_python(tmp_path, range(40), functions=30, file="module", name="function")
    dataset = open_dataset(str(tmp_path))
    learned = next(file for file in dataset.corpus.files if file.split != "held-out")

    chosen = held_out_of(dataset, [learned.sha256])

    assert [file.path for file in chosen.select("held-out")] == [learned.path]
    with pytest.raises(SystemExit, match="built of"):
        held_out_of(dataset, ["0" * 64])
