"""Options that the experiments' commands have in common, parsed from text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

import torch

from builder.bases.catalogue import CATALOGUE
from builder.number_format import DTYPES, fastest_dtype
from contract.errors import BuildError
from contract.files.home import expand_home
from laboratory.datasets import TEXT
from laboratory.experiments.calibration_texts import CalibrationFormat


def calibration_specs(repository: Path | None, named: Sequence[str] | None) -> tuple[str, ...]:
    """Return the named datasets, each once, the repository first; the current folder if nothing is named."""
    own = [] if repository is None else [str(expand_home(repository).resolve())]  # a folder, whatever its name
    return tuple(dict.fromkeys(map(absolute, (*own, *(named or ())) or (".",))))


def absolute(spec: str) -> str:
    """Return the whole path of a folder or file, so that a worker in another folder finds it; names are kept."""
    path = expand_home(Path(spec))
    is_name = spec in CATALOGUE or spec == TEXT
    return str(path.resolve()) if not is_name and path.exists() else spec


def parse_prompt_format(text: str) -> CalibrationFormat:
    """Return how calibration text is written; raise BuildError for anything but the known forms."""
    if text not in get_args(CalibrationFormat):
        raise BuildError(f"--prompt-format {text} is unknown; give {' or '.join(get_args(CalibrationFormat))}.")
    return cast(CalibrationFormat, text)


def parse_ratios(text: str) -> tuple[float, ...]:
    """Parse `0.5`, `0.1,0.5` or `START:END:STEP` with both ends, such as 0.1:0.7:0.1; raise BuildError otherwise."""
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        start, end, step = (float(part) for part in text.split(":"))
        if step <= 0 or end < start:
            raise ValueError
        count = int((end - start) / step + 1e-6) + 1
    except (ValueError, OverflowError) as error:
        raise BuildError(f"--sparsity {text} is no ratio, list or START:END:STEP; give 0.1:0.7:0.1.") from error
    return tuple(round(start + step * index, 6) for index in range(count))


def choose_dtype(text: str) -> torch.dtype:
    """Return float32, bfloat16, or for "auto" what is fastest here; raise BuildError for anything else.

    Runs that are compared with each other should name it: "auto" measures each time which is fastest.
    """
    if text == "auto":
        return fastest_dtype()
    if text not in DTYPES:
        raise BuildError(f"--dtype {text} is unknown; give auto, {' or '.join(DTYPES)}.")
    return DTYPES[text]
