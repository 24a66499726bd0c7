"""What the tests of hostile registries share: a pull that must be refused, and ways to change a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import SuccinctRoles

from contract.bundle.trusted_builds import trusted_folder
from contract.errors import RegistryError, SubmodelError
from fleet.publishing.signed_index import SignedIndex
from submodel.registry.index import BIN_BITS, BIN_PREFIX, METADATA, target_path
from submodel.registry.pull_run import PullSettings, run_pull
from testbed.registries import NAME

# The one file of 256 that a pull of `NAME` reads. Others can have the same version, which is a time in seconds.
BIN = SuccinctRoles(["any"], 1, BIN_BITS, BIN_PREFIX).get_role_for_target(target_path(NAME))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(
    repository: Path, words: str, address: object = None, key: str | None = None, error: type = RegistryError
) -> str:
    """The sentence with which a pull is refused; `words` are a part of it. All stays as it was."""
    before = contents(repository)
    trusted = {one.name for one in trusted_folder().iterdir()}
    with pytest.raises(SubmodelError, match=words) as refusal:
        run_pull(PullSettings(folder=repository, address=None if address is None else str(address), key=key))
    assert isinstance(refusal.value, error)
    sentence = str(refusal.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert {name: text for name, text in contents(repository).items() if "lock" not in name} == {
        name: text for name, text in before.items() if "lock" not in name
    }
    assert {one.name for one in trusted_folder().iterdir()} == trusted
    return sentence


def flip(path: Path, at: int = 0) -> None:
    """Change one bit; the file may be a hard link."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.unlink()
    path.write_bytes(content)


def newest(registry: Path, role: str) -> Path:
    return max((registry / METADATA).glob(f"*.{role}.json"), key=lambda path: int(path.name.split(".")[0]))


def signed_anew(registry: Path, change: Callable[[SignedIndex], object]) -> None:
    """What the holder of the key could sign."""
    secret = load_pem_private_key(registry.with_suffix(".pem").read_bytes(), None)
    index = SignedIndex(registry, CryptoSigner(secret), is_new=False)
    change(index)
    index.save(30)
