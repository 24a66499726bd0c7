"""Random models of two layers, in folders as transformers writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from testbed.models import make_export_model, save_model

KINDS = ("llama-tied", "llama-untied", "qwen2-tied", "qwen2-untied")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the model of a kind, made once. Not to be written to."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_model(make_export_model(kind), tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder_of


@pytest.fixture(params=KINDS)
def any_folder(request: pytest.FixtureRequest, model_folder: Callable[[str], Path]) -> Path:
    """Each kind of model in turn."""
    return model_folder(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Other tests and people share the machine."""
    torch.set_num_threads(1)
