"""Masks as bits on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from contract.errors import BuildError
from laboratory.sparsity.mask_file import MASKS, MaskFile, write_masks


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 99))
def test_masks_come_back_as_they_went(tmp_path_factory, outputs, inputs, seed):
    path = tmp_path_factory.mktemp("masks") / MASKS
    masks = {
        name: torch.rand(outputs, inputs, generator=torch.Generator().manual_seed(seed + i)) < 0.5
        for i, name in enumerate(("layers.1.a", "layers.0.b"))
    }
    write_masks(path, masks)
    read = MaskFile(path)
    assert set(read.names) == set(masks)
    for name, kept in masks.items():
        assert np.array_equal(read.read(name), kept.numpy())


def test_a_file_that_holds_no_masks_is_reported(tmp_path):
    path = tmp_path / MASKS
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(BuildError, match="no masks"):
        MaskFile(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BuildError, match="can't be read"):
        MaskFile(path)
    with pytest.raises(BuildError, match="can't be read"):
        MaskFile(tmp_path / "absent")


def write_damaged(path, inputs, tensor):
    """A file with one mask, `a`, whose metadata say `inputs` of the numbers of inputs."""
    write_masks(path, {"a": torch.ones(2, 8, dtype=torch.bool)})
    with safe_open(path, framework="pt") as file:
        (form,) = file.metadata()
    save_file({"a": tensor}, path, metadata={form: inputs})


@pytest.mark.parametrize(
    "inputs",
    ["{", "[]", '{"a": "8"}', '{"a": 0}', '{"a": 8, "b": 8}'],
    ids=["no JSON", "no object", "no width", "width 0", "a mask too few"],
)
def test_a_file_of_damaged_masks_is_reported(tmp_path, inputs):
    write_damaged(tmp_path / MASKS, inputs, torch.zeros(2, 1, dtype=torch.uint8))
    with pytest.raises(BuildError, match="is damaged"):
        MaskFile(tmp_path / MASKS)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(2, 1), torch.zeros(2, dtype=torch.uint8), torch.zeros(2, 2, dtype=torch.uint8)],
    ids=["no bits", "no matrix", "another width"],
)
def test_a_tensor_that_is_no_mask_is_reported_once_it_is_read(tmp_path, tensor):
    write_damaged(tmp_path / MASKS, '{"a": 8}', tensor)
    masks = MaskFile(tmp_path / MASKS)
    with pytest.raises(BuildError, match="is damaged"):
        masks.read("a")
