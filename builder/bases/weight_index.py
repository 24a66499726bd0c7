"""Where the weights of a model folder lie: in one safetensors file, or in several that an index names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contract.errors import BaseModelError, first_line
from contract.files.untrusted_json import read_json

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"


def read_weight_index(folder: Path) -> dict[str, Path]:
    """Return the safetensors file of each tensor that the folder's index names.

    Raises BaseModelError if the index can't be read, or if it names anything but safetensors files beside it.
    """
    path = folder / INDEX
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{path} can't be read: {first_line(error)}; fetch it again.") from error
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise BaseModelError(f"{path} names no tensor; fetch it again.")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise BaseModelError(f"{path} names {name!r}, which is no safetensors file beside it; fetch it again.")
        if not (folder / name).is_file():  # a pipe would wait for a writer
            raise BaseModelError(f"{path} names {name!r}, which is no file beside it; fetch the model again.")
    return {tensor: folder / name for tensor, name in weight_map.items()}
