from __future__ import annotations

import hashlib
import json
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from contract.bundle.pulled_builds import PulledFrom
from contract.errors import CorpusError
from contract.repository.texts import CUT_REASONS, ReadingSettings, read_repository
from contract.versions import PROGRAM
from lsp_server.drift import STALE_FILES, Drift, can_update, check_whole, measure_drift, read_current_hashes
from testbed.git import git


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


MANIFEST = {"held_out_sha256": [sha("a")], "learned_sha256": [sha(text) for text in "bcde"]}


def test_an_untouched_repository_has_not_moved() -> None:
    assert measure_drift(map(sha, "abcde"), MANIFEST) == Drift(files=5, changed=0, added=0, removed=0)


def test_changed_new_and_removed_files() -> None:
    drift = measure_drift(map(sha, ["a", "b", "C", "new 1", "new 2"]), MANIFEST)
    assert drift == Drift(files=5, changed=3, added=0, removed=0)
    assert measure_drift(map(sha, [*"abcde", "new"]), MANIFEST) == Drift(files=6, changed=0, added=1, removed=0)
    assert measure_drift(map(sha, "abc"), MANIFEST) == Drift(files=3, changed=0, added=0, removed=2)


def test_what_an_update_has_seen_in_vain_is_no_drift() -> None:
    seen = {**MANIFEST, "seen_sha256": [sha(text) for text in ("a", "b", "C", "new")]}
    assert measure_drift(map(sha, ["a", "b", "C", "new", "d", "e"]), seen) == Drift(
        files=6, changed=0, added=0, removed=0
    )
    assert measure_drift(map(sha, ["a", "b", "C", "newer", "d", "e"]), seen) == Drift(
        files=6, changed=0, added=1, removed=0
    )


def test_what_is_stale_and_what_to_do() -> None:
    assert not Drift(files=100, changed=10, added=9, removed=50).is_stale
    drift = Drift(files=100, changed=10, added=10, removed=0)
    assert drift.is_stale
    assert drift.to_json(Path("/repo"))["command"] == "submodel build /repo"
    assert replace(drift, can_update=True).to_json(Path("/repo"))["command"] == "submodel update /repo"
    assert not Drift(files=0, changed=0, added=0, removed=0).is_stale
    assert not Drift(files=1_000, changed=STALE_FILES - 10, added=9, removed=0).is_stale
    assert Drift(files=1_000, changed=STALE_FILES - 10, added=10, removed=0).is_stale
    assert not Drift(files=40_000, changed=1_999, added=0, removed=0).is_stale
    assert Drift(files=40_000, changed=2_000, added=0, removed=0).is_stale


@pytest.mark.parametrize("is_git_s", [False, True])
def test_a_repository_that_holds_the_home_folder_is_read_as_a_build_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_git_s: bool
) -> None:
    """The root of a drive counts as such a folder."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "a.py").write_text("x = 1\n", "utf-8")
    if is_git_s:
        (tmp_path / ".git").mkdir()
        assert read_current_hashes(tmp_path) == [sha("x = 1\n")]
    else:
        with pytest.raises(CorpusError, match="is the home folder or holds it"):
            read_current_hashes(tmp_path)


def test_the_hashes_are_those_of_the_texts_that_a_build_reads(tmp_path: Path) -> None:
    files = {"a.py": "x = 1\r\n", "b.py": "x = 1\n", "c.md": "# c\n", "d.py": "", "e.py": "é = 2\n"}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode())
    built = read_repository(tmp_path).texts
    assert {text for _, text in built.values()} == {"x = 1\n", "# c\n", "é = 2\n"}, "no text twice"
    assert read_current_hashes(tmp_path) == [sha(text) for _, text in built.values()]


def test_what_git_ignores_is_no_drift_where_git_has_failed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("x = 1\n", "utf-8")
    assert read_current_hashes(tmp_path, is_git_s=True) == [sha("x = 1\n")]
    monkeypatch.setenv("PATH", "")
    assert read_current_hashes(tmp_path) == [sha("x = 1\n")]
    with pytest.raises(CorpusError, match="git does not list the files"):
        read_current_hashes(tmp_path, is_git_s=True)


def test_a_reading_holds_no_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.repository.texts.REPORT_EVERY", 1)
    for number in range(40):
        (tmp_path / f"{number}.py").write_text("".join(f"x{number} = {line}\n" for line in range(5_000)))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    read_current_hashes(tmp_path)  # what is imported and compiled once
    held: list[int] = []
    tracemalloc.start()
    read_current_hashes(tmp_path, lambda: held.append(tracemalloc.get_traced_memory()[0]))
    tracemalloc.stop()
    assert len(held) == 40
    assert max(held) - held[0] < size / 4


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's quotes")
def test_the_command_can_be_pasted() -> None:
    drift = Drift(files=10, changed=9, added=0, removed=0, can_update=True)
    assert drift.command(Path("/my project")) == "submodel update '/my project'"


def test_a_pulled_bundle_is_pulled_again() -> None:
    drift = Drift(files=10, changed=9, added=0, removed=0, pulled=PulledFrom(address="https://m/", name=None))
    assert drift.command(Path("/repo")) == f"submodel pull https://m/ {Path('/repo')}"
    assert drift.command(None) == "submodel pull https://m/"
    part = replace(drift, pulled=PulledFrom(address="https://m/", name="acme.com/app/billing"))
    assert part.command(None) == "submodel pull https://m/ . --repository acme.com/app/billing"
    assert replace(drift, can_update=True).command(None) == "submodel update", "what was built here since"


@pytest.mark.parametrize(
    ("history", "model", "is_possible"),
    [
        ("history.json", "model", True),
        ("next-history.json", "next", True),  # stopped before the model took the old one's place
        ("history.json", "next", False),
        ("next-history.json", "model", False),
    ],
)
def test_an_update_can_go_on_from_the_model_of_the_bundle(
    tmp_path: Path, history: str, model: str, is_possible: bool
) -> None:
    root = tmp_path / ".submodel"
    (root / "stages").mkdir(parents=True)
    (root / "stages" / history).write_text(json.dumps({"program": PROGRAM}))
    made = {"plan": {}, "finetuning": {"minutes": 1}, "learned_sha256": []}
    (root / model).mkdir()
    (root / model / "manifest.json").write_text(json.dumps(made))
    assert can_update(tmp_path, made) is is_possible
    for program, is_newer in (("1000.1", True), (f"{PROGRAM}0", True), ("1.9", False), ("newer", False), (3, False)):
        (root / "stages" / history).write_text(json.dumps({"program": program}))
        assert can_update(tmp_path, made, may_be_newer=True) is (is_possible and is_newer)
        assert not can_update(tmp_path, made)
    assert not can_update(tmp_path, {**made, "plan": None})


def test_bundle_that_kept_no_hashes() -> None:
    assert measure_drift(map(sha, "abc"), {}) is None


def test_where_a_limit_cuts_a_repository_off_no_file_counts_as_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder of it the limit lets in other files, which nobody has touched."""
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(f"{name} = 1\n")
    assert len(read_current_hashes(tmp_path)) == 3
    for smaller in (replace(ReadingSettings(), max_files=2), replace(ReadingSettings(), max_total_bytes=6)):
        monkeypatch.setattr("contract.repository.texts.ReadingSettings", lambda smaller=smaller, **_: smaller)
        with pytest.raises(CorpusError, match="has more files than a build reads"):
            read_current_hashes(tmp_path)


def test_a_build_that_a_limit_cut_off_says_so(tmp_path: Path) -> None:
    for reason in CUT_REASONS:
        with pytest.raises(CorpusError, match="has more files than a build reads"):
            check_whole(tmp_path, {reason: 1})
    for skipped in (None, {}, {"vendored": 3}, {CUT_REASONS[0]: 0}, ["odd"]):
        check_whole(tmp_path, skipped)
