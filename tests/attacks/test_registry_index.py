"""A registry's index that somebody else wrote, changed, replaced, kept back or half copied.

Each is refused in one sentence. The bundle that was there stays, byte for byte, and nothing else is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import MetaFile

from contract.bundle.bundle import Bundle, find_trusted_bundle
from contract.bundle.manifest import MODEL_FILE, build_of, read_manifest, write_manifest
from contract.errors import RegistryError
from fleet.publishing.publish_run import PublishSettings, run_publish
from fleet.publishing.signed_index import SignedIndex
from submodel.registry.fetcher import RegistryFetcher, base_address
from submodel.registry.index import FILES, LIMITS, METADATA, RegistryIndex, target_path
from submodel.registry.pull_run import PullSettings, run_pull
from testbed.registries import NAME, publish
from tests.attacks.registry_refusals import BIN, flip, newest, refuse, signed_anew


def test_the_newer_bundle_is_pulled_if_nothing_is_wrong(served: Path, newer: Path) -> None:
    """What all other tests refuse."""
    assert run_pull(PullSettings(folder=served)).build == build_of(newer)
    assert find_trusted_bundle(served)


@pytest.mark.parametrize("at", [0, -1])
def test_a_flipped_byte_in_the_manifest(served: Path, registry: Path, newer: Path, at: int) -> None:
    digest = build_of(newer)
    flip(registry / FILES / digest[:2] / digest, at)
    refuse(served, f"{digest} is not the file that the index names")


def test_a_flipped_byte_in_the_model(registry: Path, repository: Path, tiny_bundle: Bundle, key: str) -> None:
    digest = tiny_bundle.manifest["files"][MODEL_FILE]["sha256"]
    flip(registry / FILES / digest[:2] / digest, 1000)
    refuse(repository, f"{digest} is not the file that the index names", registry, key)
    assert not (repository / ".submodel").exists()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", BIN])
def test_a_flipped_byte_in_the_index(served: Path, registry: Path, role: str) -> None:
    path = registry / METADATA / "timestamp.json" if role == "timestamp" else newest(registry, role)
    for at in (0, path.stat().st_size // 2, path.read_bytes().index(b'"version"') + 12, -2):
        content = path.read_bytes()
        flip(path, at)
        refuse(served, "is damaged|is not signed with your key|is older")
        path.write_bytes(content)


def test_a_flipped_byte_in_the_document(served: Path, registry: Path) -> None:
    for path in (registry / "repositories").iterdir():
        flip(path, 20)
    refuse(served, "is damaged")


def test_a_wrong_signature(served: Path, registry: Path) -> None:
    path = registry / METADATA / "timestamp.json"
    document = json.loads(path.read_text())
    for signature in ("00" * 64, "", "zz", document["signatures"][0]["sig"][:-2]):
        document["signatures"][0]["sig"] = signature
        path.write_text(json.dumps(document))
        refuse(served, "is not signed with your key|is damaged")
    document["signatures"] = []
    path.write_text(json.dumps(document))
    refuse(served, "is not signed with your key")


@pytest.mark.slow
def test_a_signature_is_checked_without_machine_code_too(registry: Path, key: str, tmp_path: Path) -> None:
    """The core install has no cryptography: securesystemslib then checks by itself."""
    path = registry / METADATA / "timestamp.json"
    program = """
import sys
sys.modules["cryptography"] = None
from pathlib import Path
from submodel.registry.fetcher import RegistryFetcher, base_address
from submodel.registry.index import RegistryIndex
from contract.errors import RegistryError
for _ in range(2):
    try:
        RegistryIndex(base_address(sys.argv[1]), sys.argv[2], RegistryFetcher())
        print("accepted")
    except RegistryError as error:
        print(error)
    path = Path(sys.argv[1], "metadata", "timestamp.json")
    text = path.read_text()
    at = text.index('"sig":"') + 7
    path.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1:])
"""
    (tmp_path / "fresh").mkdir(mode=0o700)
    environment = os.environ | {"SUBMODEL_STATE_DIR": str(tmp_path / "fresh")}
    command = [sys.executable, "-c", program, str(registry), key]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    accepted, refused = done.stdout.splitlines()
    assert accepted == "accepted" and "is not signed with your key" in refused
    assert path.is_file()


@pytest.fixture(scope="module")
def of_a_stranger(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole registry of somebody else's, with a bundle for the same repository; its key."""
    folder = tmp_path_factory.mktemp("stranger")
    bundle = Path(shutil.copytree(tiny_bundle.folder, folder / "bundle"))
    write_manifest(bundle, {**read_manifest(bundle), "mark": "stranger"})
    return folder / "registry", publish(bundle, folder / "registry")


def test_an_unknown_key(repository: Path, registry: Path, key: str, of_a_stranger: tuple[Path, str]) -> None:
    sentence = refuse(repository, "which is not the one that you gave", registry, of_a_stranger[1])
    assert key in sentence
    refuse(repository, "No key is set", registry)
    for text in ("", key[:-1], f"{key}0", f"g{key[1:]}", "../../etc"):
        refuse(repository, "no public key of a registry|No key is set", registry, text)
    assert not (repository / ".submodel").exists()


def test_a_replaced_index(served: Path, registry: Path, of_a_stranger: tuple[Path, str]) -> None:
    """All of it, and all but its root: the stranger has signed the rest."""
    root = (registry / METADATA / "1.root.json").read_bytes()
    shutil.rmtree(registry)
    shutil.copytree(of_a_stranger[0], registry)
    refuse(served, "which is not the one that you gave")
    (registry / METADATA / "1.root.json").write_bytes(root)
    refuse(served, "is not signed with your key")


def test_a_root_that_names_two_keys(served: Path, registry: Path, of_a_stranger: tuple[Path, str]) -> None:
    """Signed by the stranger alone, whose signature its threshold would take."""
    theirs = json.loads((of_a_stranger[0] / METADATA / "1.root.json").read_text())
    ours = json.loads((registry / METADATA / "1.root.json").read_text())["signed"]
    for role in theirs["signed"]["roles"]:
        theirs["signed"]["roles"][role]["keyids"] += ours["roles"][role]["keyids"]
    theirs["signed"]["keys"] |= ours["keys"]
    (registry / METADATA / "1.root.json").write_text(json.dumps(theirs))
    refuse(served, "which is not the one that you gave")


def test_a_root_that_gives_the_key_another_name(served: Path, registry: Path, of_a_stranger: tuple[Path, str]) -> None:
    """The stranger's key under our key's id."""
    theirs = (of_a_stranger[0] / METADATA / "1.root.json").read_text()
    ours = json.loads((registry / METADATA / "1.root.json").read_text())["signed"]
    (name,) = json.loads(theirs)["signed"]["keys"]
    (our_name,) = ours["keys"]
    (registry / METADATA / "1.root.json").write_text(theirs.replace(name, our_name))
    refuse(served, "which is not the one that you gave")
    with pytest.raises(RegistryError, match="signed with another key than yours"):
        signed_anew(registry, lambda index: None)


def test_a_next_root_that_the_key_has_not_signed(served: Path, registry: Path, of_a_stranger: tuple[Path, str]) -> None:
    theirs = json.loads((of_a_stranger[0] / METADATA / "1.root.json").read_text())
    theirs["signed"]["version"] = 2
    (registry / METADATA / "2.root.json").write_text(json.dumps(theirs))
    refuse(served, "is not signed with your key")


def test_an_older_version_in_place_of_a_newer_one(
    served: Path, registry: Path, newer: Path, published: tuple[Path, str], key: str
) -> None:
    run_pull(PullSettings(folder=served))
    refuse(served, "is older than the one that you saw last", published[0])
    # From the same address as well, though the cache and the workspace's bundle are gone.
    shutil.rmtree(registry)
    shutil.copytree(published[0], registry)
    shutil.rmtree(served / ".submodel")
    shutil.rmtree(Path(os.environ["SUBMODEL_CACHE"]))
    refuse(served, "is older than the one that you saw last")


def test_an_older_document_under_a_newer_index(served: Path, registry: Path, published: tuple[Path, str]) -> None:
    """Mix and match: each part was signed once."""
    run_pull(PullSettings(folder=served))
    for path in (registry / "repositories").iterdir():
        path.unlink()
    (old,) = (published[0] / "repositories").iterdir()
    shutil.copy(old, registry / "repositories")
    refuse(served, "half copied")
    newest_bin = newest(registry, BIN)
    role = newest_bin.name.split(".", 1)[1]
    shutil.copy(next((published[0] / METADATA).glob(f"*.{role}")), newest_bin)
    for path in Path(os.environ["SUBMODEL_STATE_DIR"]).rglob(role):
        path.unlink()  # or it would not be asked for
    refuse(served, "is damaged")


@pytest.mark.parametrize("role", [BIN, "targets"])
def test_a_part_in_the_place_of_another_of_its_version(repository: Path, registry: Path, key: str, role: str) -> None:
    """On 40147da0 a mirror could withhold a bundle so: parts were pinned by a version that many share."""
    path = newest(registry, role)
    version = path.name.split(".")[0]
    others = [one for one in (registry / METADATA).glob("*.repositories-*.json") if one != path]
    other = max(others, key=lambda one: one.name.startswith(f"{version}."))
    path.write_bytes(other.read_bytes())
    refuse(repository, "is damaged|longer than it may be", registry, key)
    with pytest.raises(RegistryError, match="can't be used"):
        signed_anew(registry, lambda index: index.find(target_path(NAME)))


def test_a_publisher_signs_no_older_part_anew(served: Path, registry: Path, published: tuple[Path, str]) -> None:
    """On 40147da0 its bytes under the newer one's name were taken over, and signed: a rollback for all who pull."""
    path = newest(registry, BIN)
    path.write_bytes(newest(published[0], BIN).read_bytes())
    with pytest.raises(RegistryError, match="can't be used"):
        signed_anew(registry, lambda index: index.put(target_path(NAME), b"{}"))


def test_of_an_index_that_names_no_hashes_a_publisher_signs_no_older_part(
    tiny_bundle: Bundle, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "registry"
    monkeypatch.setattr(MetaFile, "from_data", lambda version, *_: MetaFile(version))
    publish(tiny_bundle.folder, registry)
    old = newest(registry, BIN).read_bytes()
    publish(newer, registry)
    newest(registry, BIN).write_bytes(old)
    with pytest.raises(RegistryError, match="it has the version"):
        signed_anew(registry, lambda index: index.find(target_path(NAME)))


@pytest.mark.parametrize("other", ["1.root.json", "snapshot"])
def test_metadata_of_another_type(served: Path, registry: Path, other: str) -> None:
    """The publisher's side ended with a trace on 40147da0."""
    content = (newest(registry, other) if other == "snapshot" else registry / METADATA / other).read_bytes()
    (registry / METADATA / "timestamp.json").write_bytes(content)
    refuse(served, "is damaged|longer than it may be")
    with pytest.raises(RegistryError, match=r"timestamp\.json can't be used \(it is of the type \w+, not timestamp\)"):
        signed_anew(registry, lambda index: None)


def test_an_index_that_names_no_hashes_is_read_and_extended(
    repository: Path, tiny_bundle: Bundle, newer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 40147da0 wrote it. Its parts are compared by version."""
    registry = tmp_path / "registry"
    with monkeypatch.context() as patch:
        patch.setattr(MetaFile, "from_data", lambda version, *_: MetaFile(version))
        key = publish(tiny_bundle.folder, registry)
        assert b'"hashes"' not in newest(registry, "snapshot").read_bytes()
    assert run_pull(PullSettings(folder=repository, address=str(registry), key=key)).build == build_of(
        tiny_bundle.folder
    )
    old = newest(registry, BIN).read_bytes()
    publish(newer, registry)
    assert run_pull(PullSettings(folder=repository)).build == build_of(newer)
    path = newest(registry, "snapshot")
    document = json.loads(path.read_text())
    assert [name for name, one in document["signed"]["meta"].items() if "hashes" in one] == [f"{BIN}.json"]
    newest(registry, BIN).write_bytes(old)
    with pytest.raises(RegistryError, match="can't be used"):
        signed_anew(registry, lambda index: index.find(target_path(NAME)))


def test_an_index_that_nobody_renewed(repository: Path, registry: Path, newer: Path, key: str) -> None:
    publish(newer, registry, valid_days=-1)
    refuse(repository, "was not renewed in time", registry, key)


@pytest.mark.parametrize("missing", ["timestamp", "snapshot", "metadata", BIN, "1.root", "file", "document"])
def test_a_half_written_folder(served: Path, registry: Path, newer: Path, missing: str) -> None:
    if missing == "file":
        digest = build_of(newer)
        (registry / FILES / digest[:2] / digest).unlink()
    elif missing == "document":
        shutil.rmtree(registry / "repositories")
    elif missing in ("timestamp", "1.root"):
        (registry / METADATA / f"{missing}.json").unlink()
    elif missing == "metadata":
        shutil.rmtree(registry / METADATA)
    else:
        newest(registry, missing).unlink()
    refuse(served, r"half copied: copy it again|try again")


def test_cut_files(served: Path, registry: Path, newer: Path) -> None:
    digest = build_of(newer)
    for path in (
        registry / METADATA / "1.root.json",
        newest(registry, "snapshot"),
        registry / FILES / digest[:2] / digest,  # last: what was read of the index is not asked for again
    ):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        refuse(served, "is not the file that the index names|is damaged")
        path.write_bytes(b"")
        refuse(served, "is not the file that the index names|is damaged")
        path.write_bytes(content)
    assert run_pull(PullSettings(folder=served)).build == digest


@pytest.mark.parametrize("role", ["timestamp", "snapshot", BIN, "1.root"])
def test_an_index_of_100_megabytes(served: Path, registry: Path, key: str, role: str) -> None:
    path = newest(registry, role) if role in ("snapshot", BIN) else registry / METADATA / f"{role}.json"
    with path.open("r+b") as file:
        file.truncate(100 << 20)
    refuse(served, "longer than it may be")
    fetcher = RegistryFetcher()
    with pytest.raises(RegistryError):
        RegistryIndex(base_address(str(registry)), key, fetcher).find(NAME)
    assert fetcher.fetched_bytes < 2 * LIMITS.targets_max_length


def test_a_publisher_signs_nothing_that_others_wrote(registry: Path, tiny_bundle: Bundle) -> None:
    """Whoever can write to the folder adds a repository; the next publication must not take it over."""
    path = newest(registry, "repositories-00")
    document = json.loads(path.read_text())
    document["signed"]["targets"]["evil.json"] = {"length": 1, "hashes": {"sha256": "0" * 64}}
    path.write_text(json.dumps(document))
    names = (f"example.com/acme/{number}" for number in range(100_000))
    name = next(one for one in names if hashlib.sha256(target_path(one).encode()).digest()[0] == 0)
    settings = PublishSettings(
        folder=tiny_bundle.folder, registry=registry, key_file=registry.with_suffix(".pem"), name=name
    )
    before = path.read_bytes()
    _, (row,) = run_publish(settings)
    assert row.state == "failed" and row.error is not None and "can't be used" in row.error
    assert newest(registry, "repositories-00") == path and path.read_bytes() == before, (
        "it is renewed without that part"
    )


def test_a_publisher_who_is_killed_leaves_the_old_index(
    served: Path, registry: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pull(PullSettings(folder=served))
    monkeypatch.setattr(SignedIndex, "_write", _stop_before("timestamp.json", SignedIndex._write))
    with pytest.raises(KeyboardInterrupt):
        publish(tiny_bundle.folder, registry)
    assert run_pull(PullSettings(folder=served)).state == "unchanged"
    monkeypatch.undo()


def _stop_before(name: str, write: Any) -> Callable[..., bytes]:
    def stop(self: SignedIndex, file: str, *arguments: Any) -> bytes:
        if file == name:
            raise KeyboardInterrupt
        return bytes(write(self, file, *arguments))

    return stop


def test_two_publications_in_one_second_are_in_order(registry: Path, repository: Path, newer: Path, key: str) -> None:
    publish(newer, registry)
    publish(newer, registry)
    versions = [int(path.name.split(".")[0]) for path in (registry / METADATA).glob("*.snapshot.json")]
    assert len(set(versions)) == 3 and max(versions) <= time.time() + 3
    assert run_pull(PullSettings(folder=repository, address=str(registry), key=key)).build == build_of(newer)
