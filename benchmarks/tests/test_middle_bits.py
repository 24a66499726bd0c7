"""Which files middles are taken from."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.middle_bits import held_out_of
from builder.datasets import open_dataset


def test_middles_are_of_files_that_the_build_held_out(tmp_path: Path) -> None:
    for number in range(40):
        lines = [f"def function_{number}_{i}(value):\n    return value + {number * i}\n" for i in range(30)]
        (tmp_path / f"module_{number}.py").write_text("\n".join(lines))
    dataset = open_dataset(str(tmp_path))
    learned = next(file for file in dataset.corpus.files if file.split != "held-out")

    chosen = held_out_of(dataset, [learned.sha256])

    assert [file.path for file in chosen.select("held-out")] == [learned.path]
    with pytest.raises(SystemExit, match="built of"):
        held_out_of(dataset, ["0" * 64])
